/** What the command line promises: exit codes, where results and messages go, how errors read, which inputs are taken. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { CaptureReader, captureRecords } from '../../src/capture/reader.js';
import { parseEntries } from '../../src/conntrack/parse.js';
import { parseRuleSet } from '../../src/ruleset/parse.js';
import { BuiltCommand, isInstalled } from '../support/built-command.js';

const command = new BuiltCommand();
afterAll(() => command.remove());

const BUNDLE = 'rules/router/router';
const LAN = 'pcaps/router/router/lan0.pcap';
const WAN = 'pcaps/router/router/wan0.pcap';
const RULES = 'rules/router-router.rules';

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(command.folder, name);
  writeFileSync(path, content);
  return path;
};
const out = (name: string): string => join(command.folder, name);

const BAD_RULES = `*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp --dports 80,443 -j ACCEPT
-A INPUT -j NOWHERE
COMMIT
`;
const bad = file('bad.rules', BAD_RULES);
const good = file(
  'good.rules',
  '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -p udp -j DROP\nCOMMIT\n',
);
const empty = file('empty', '');
const truncated = file('truncated.pcap', readFileSync(LAN).subarray(0, 5000));
mkdirSync(out('folder'));

describe('exit codes', () => {
  it.each([
    // command                                                    status  says on stderr
    [['check', good], 0, ''],
    [['check', bad], 1, 'bad.rules:3:17: error: '],
    [['check', bad, out('missing')], 2, 'missing: no such file'],
    [['check', out('missing'), good], 2, 'missing: no such file'],
    [['fmt', good], 0, ''],
    [['fmt', empty], 0, ''],
    [['fmt', bad], 2, 'bad.rules:3:17: error: '],
    [['fmt', out('folder')], 2, 'folder: is a directory'],
    [['check', '--ipv4', '--ipv6', good], 2, '--ipv4 and --ipv6 exclude each other'],
    [['replay', BUNDLE, LAN], 0, ''],
    [['replay', bad, LAN], 2, '2 errors: nothing was run'],
    [['replay', BUNDLE, truncated], 2, 'truncated.pcap:4127: error: file ends within a record [truncated]'],
    [['replay', BUNDLE, empty], 2, 'empty:0: error: file is empty [truncated]'],
    [['replay', BUNDLE, out('folder')], 2, 'folder: is a directory'],
    [['replay', BUNDLE, out('missing')], 2, 'missing: no such file'],
    [['replay', out('folder'), LAN], 2, 'not a bundle'],
    [['replay', BUNDLE, `eth7=${LAN}`], 2, 'no interface "eth7" (it has lo, lan0, wan0)'],
    [['replay', BUNDLE, LAN, '--in', 'eth7'], 2, 'no interface "eth7"'],
    [['replay', BUNDLE, LAN, '--addr', 'eth0=10.0.0.1/8'], 2, 'a bundle says its own'],
    [['replay', good, LAN, '--addr', 'eth0:10.0.0.1'], 2, '"eth0:10.0.0.1" is not IFACE=ADDR/LEN'],
    [['replay', good, LAN, '--route', '0/0'], 2, '"0/0" is not DEST,VIA,IFACE'],
    [['replay', BUNDLE, LAN, '--write', '/nonexistent/x'], 2, '/nonexistent/x: no such file'],
    [['replay', BUNDLE, LAN, '--write', '-', '--save', '-'], 2, 'only one result'],
    [['replay', BUNDLE, LAN, '--write', '-', '--json'], 2, 'only one result'],
    [['replay', BUNDLE, LAN, '--seed', 'x'], 2, 'a whole number from 0'],
    [['replay', BUNDLE, LAN, '--engine', 'fast'], 2, 'compiled, reference'],
    [['replay', '-', '-'], 2, 'not both'],
    [['replay', BUNDLE, '-', '-'], 2, 'one capture only'],
    [['replay', BUNDLE], 2, "missing required argument 'captures'"],
    [['trace', BUNDLE, 'tcp 192.168.1.10:4000 > 198.51.100.10:80'], 0, ''],
    [['trace', BUNDLE], 2, 'say the packet in words'],
    [['trace', BUNDLE, 'tcp 192.168.1.10:4000 > 198.51.100.10:99999'], 2, '<packet>:1:25: error: '],
    [['trace', BUNDLE, 'tcp 1.2.3.4:1 > 5.6.7.8:2', '--packet', '3'], 2, 'needs -r CAPTURE'],
    [['trace', BUNDLE, 'tcp 1.2.3.4:1 > 5.6.7.8:2', '--in', 'eth7'], 2, 'no interface "eth7"'],
    [['trace', BUNDLE, '-r', LAN], 2, '-r needs --packet'],
    [['trace', BUNDLE, '-r', LAN, '--packet', '0'], 2, '1 or more'],
    [['trace', BUNDLE, '-r', LAN, '--packet', '100000'], 2, 'the captures hold 164'],
    [['collect'], 0, ''],
    [['collect', '--seconds', '-1'], 2, 'from 1 to 86400'],
    [['nosuch'], 2, "unknown command 'nosuch'"],
    [['replay', '--nosuch'], 2, "unknown option '--nosuch'"],
    [[], 2, 'Usage: chainwalk'],
    [['--version'], 0, ''],
  ] as const)('%j: %i', (args, status, says) => {
    const ran = command.run(args);
    expect(ran.stderr).toContain(says);
    expect(ran.status).toBe(status);
    if (status === 0) expect(ran.stderr).toBe('');
    // No stack of calls in front of a user.
    expect(ran.stderr).not.toMatch(/\n {4}at /);
  });
});

it.each(['replay', 'trace', 'check', 'fmt', 'collect', 'diff', 'kube-proxy'])('%s --help has an example', (name) => {
  const { status, stdout } = command.run([name, '--help']);
  expect(status).toBe(0);
  expect(stdout).toMatch(new RegExp(`Examples?:\\n {2}.*chainwalk ${name}\\b`));
});

it('errors show the line, a caret and a hint, all of them in one run', () => {
  const { stderr } = command.run(['check', bad]);
  expect(stderr).toBe(
    [
      `${bad}:3:17: error: unknown option "--dports" (loaded: tcp) [unknown-option]`,
      '  -A INPUT -p tcp --dports 80,443 -j ACCEPT',
      '                  ^^^^^^^^',
      '  hint: lists of ports need -m multiport',
      `${bad}:4:13: error: no chain or target "NOWHERE" in table filter [unknown-target]`,
      '  -A INPUT -j NOWHERE',
      '              ^^^^^^^',
      '',
    ].join('\n'),
  );
});

it('a huge line gives few and short errors', () => {
  const huge = file(
    'huge.rules',
    `*filter\n-A INPUT -m comment --comment ${'x'.repeat(2_000_000)} -j ACCEPT\nCOMMIT\n`,
  );
  const { status, stderr } = command.run(['check', huge]);
  expect(status).toBe(1);
  expect(stderr).toContain('huge.rules:2:31: error: ');
  expect(stderr.length).toBeLessThan(3000);
});

describe('a truncated capture', () => {
  const [written, saved, connections] = [out('cut.pcapng'), out('cut.save'), out('cut.conntrack')];
  const outputs = ['--write', written, '--save', saved, '--conntrack', connections];
  const ran = command.run(['replay', BUNDLE, truncated, '--json', ...outputs]);

  it('has every whole record processed', () => {
    const whole = [...captureRecords(readFileSync(truncated), new CaptureReader(''))].length;
    expect(ran.stdout.trimEnd().split('\n')).toHaveLength(whole);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toBe(`${truncated}:4127: error: file ends within a record [truncated]\n`);
  });
  it('has its results written', () => {
    expect([...captureRecords(readFileSync(written), new CaptureReader(''))].length).toBeGreaterThan(0);
    expect(readFileSync(saved, 'utf8')).toContain('COMMIT');
    expect(readFileSync(connections, 'utf8')).toContain('tcp');
  });
  it('packed, gives what could be unpacked', () => {
    const cut = file('cut.pcap.gz', gzipSync(readFileSync(LAN)).subarray(0, 3000));
    const packed = command.run(['replay', BUNDLE, `lan0=${cut}`, '--json']);
    expect(packed.status).toBe(2);
    expect(packed.stdout.split('\n').length).toBeGreaterThan(5);
    expect(packed.stderr).toMatch(/cut\.pcap\.gz:\d+: error: gzip: .*\[bad-gzip\]\n$/);
  });
  it('does not keep the others from being replayed', () => {
    const both = command.run(['replay', BUNDLE, `lan0=${truncated}`, WAN, '--json']);
    expect(both.status).toBe(2);
    const names = both.stdout.split('\n').filter((line) => line.includes(`"capture":"${WAN}"`));
    expect(names).toHaveLength(Array.from(captureRecords(readFileSync(WAN), new CaptureReader(''))).length);
  });
});

describe('input', () => {
  const lines = (args: readonly string[], input?: string | Uint8Array): string[] => {
    const ran = command.run(['replay', ...args, '--json'], input);
    expect(ran.stderr).toBe('');
    expect(ran.status).toBe(0);
    return ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.stringify({ ...JSON.parse(line), capture: '' }));
  };
  const plain = lines([BUNDLE, LAN]);

  it('names the interface of a capture', () => expect(lines([BUNDLE, `lan0=${LAN}`])).toEqual(plain));
  it('takes a capture from standard input', () => {
    expect(lines([BUNDLE, 'lan0=-'], readFileSync(LAN))).toEqual(plain);
  });
  it('takes packed captures', () => {
    const packed = file('lan0.pcap.gz', gzipSync(readFileSync(LAN)));
    expect(lines([BUNDLE, packed])).toEqual(plain);
    expect(lines([BUNDLE, 'lan0=-'], readFileSync(packed))).toEqual(plain);
  });
  it('takes rules from standard input, and packed ones', () => {
    const text = readFileSync(RULES);
    const packed = file('rules.gz', gzipSync(text));
    const plainRules = lines([RULES, LAN]);
    expect(lines(['-', LAN], text)).toEqual(plainRules);
    expect(lines([packed, LAN])).toEqual(plainRules);
    expect(command.run(['fmt', '-'], text).stdout).toBe(command.run(['fmt', RULES]).stdout);
  });
  it('a packed rule file that ends early is an error', () => {
    const cut = file('cut.rules.gz', gzipSync(readFileSync(RULES)).subarray(0, 100));
    const { status, stderr } = command.run(['check', cut]);
    expect([status, stderr]).toEqual([2, `${cut}: gzip: unexpected end of file\n`]);
  });
  it('merges captures by time', () => {
    const ran = command.run(['replay', BUNDLE, WAN, LAN, '--json']);
    const results = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { number: number; time: string; capture: string });
    expect(results.map((r) => r.number)).toEqual(results.map((_, i) => i + 1));
    const times = results.map((r) => r.time);
    expect([...times].sort()).toEqual(times);
    expect(new Set(results.map((r) => r.capture))).toEqual(new Set([LAN, WAN]));
  });
  it('traces a packet of a capture from standard input', () => {
    const ran = command.run(['trace', BUNDLE, '-r', 'lan0=-', '--packet', '1'], readFileSync(LAN));
    expect(ran.status).toBe(0);
    expect(ran.stdout).toContain('packet 1, in by lan0');
  });
});

describe('results', () => {
  const [written, saved, saved6, connections] = [out('all.pcapng'), out('all.save'), out('all.save6'), out('all.ct')];
  const outputs = ['--write', written, '--save', saved, '--save6', saved6, '--conntrack', connections];
  const ran = command.run(['replay', BUNDLE, LAN, WAN, ...outputs]);

  it('tell the summary', () => {
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toMatch(/^\d+ packets replayed of \d+ records/);
    expect(ran.stdout).not.toContain('\u001b');
  });
  it('open again with our own readers', () => {
    const frames = [...captureRecords(readFileSync(written), new CaptureReader(''))].length;
    expect(frames).toBeGreaterThan(100);
    for (const [path, family] of [
      [saved, 4],
      [saved6, 6],
    ] as const) {
      const text = readFileSync(path, 'utf8');
      expect(parseRuleSet({ name: path, text }, { family }).diagnostics).toEqual([]);
      expect(text).toMatch(/^\[[1-9]\d*:\d+\] -A /m);
      expect(command.run(['fmt', '--counters', path]).stdout).toBe(text);
    }
    const { entries, diagnostics } = parseEntries({ name: 'ct', text: readFileSync(connections, 'utf8') });
    expect(diagnostics).toEqual([]);
    expect(entries.length).toBeGreaterThan(5);
  });
  it.skipIf(!isInstalled('tshark', '--version'))('open in tshark (skipped where it is not installed)', () => {
    const fields = ['-T', 'fields', '-e', 'frame.interface_name', '-e', 'frame.time_epoch', '-e', 'ip.checksum.status'];
    const shown = spawnSync('tshark', ['-r', written, '-o', 'ip.check_checksum:TRUE', ...fields], { encoding: 'utf8' });
    expect(shown.status, shown.stderr).toBe(0);
    const rows = shown.stdout.trimEnd().split('\n');
    expect(rows.length).toBe([...captureRecords(readFileSync(written), new CaptureReader(''))].length);
    for (const row of rows) expect(row).toMatch(/^(lan0|wan0)\t\d+\.\d{9}\t(1|1,.*|)$/);
  });
  it.skipIf(!isInstalled('iptables-legacy-restore', '--version') || process.getuid?.() !== 0)(
    'load with iptables-legacy-restore --test (skipped where it is not installed)',
    () => {
      for (const [program, path] of [
        ['iptables-legacy-restore', saved],
        ['ip6tables-legacy-restore', saved6],
      ] as const) {
        const tested = spawnSync(program, ['--counters', '--test', path], { encoding: 'utf8' });
        expect([tested.status, tested.stderr]).toEqual([0, '']);
      }
    },
  );
  it('go to standard output where they are asked to, and the summary to the messages', () => {
    const toStdout = command.run(['replay', BUNDLE, LAN, WAN, '--save', '-']);
    expect(toStdout.stdout).toBe(readFileSync(saved, 'utf8'));
    expect(toStdout.stderr).toMatch(/^\d+ packets replayed/);
  });
  it.each(['compiled', 'reference'])('are the same bytes for the same seed, engine %s', (engine) => {
    const once = (name: string): Buffer[] => {
      const paths = ['pcapng', 'save', 'ct'].map((kind) => out(`${name}.${kind}`));
      const [w, s, c] = paths as [string, string, string]; // one for each kind
      const again = command.run([
        'replay',
        BUNDLE,
        LAN,
        WAN,
        '--seed',
        '7',
        '--engine',
        engine,
        '--write',
        w,
        '--save',
        s,
        '--conntrack',
        c,
        '--json',
      ]);
      expect(again.status).toBe(0);
      return [...paths.map((path) => readFileSync(path)), Buffer.from(again.stdout)];
    };
    const first = once(`a-${engine}`);
    expect(once(`b-${engine}`)).toEqual(first);
  });
});

describe('--json', () => {
  it.each([
    [['replay', BUNDLE, LAN, '--json'], 'outcome'],
    [['trace', BUNDLE, 'tcp 192.168.1.10:4000 > 198.51.100.10:80', '--json'], 'steps'],
    [['check', RULES, good, '--json'], 'diagnostics'],
    [['check', bad, '--json'], 'diagnostics'],
    [['diff', RULES, good, '--json'], ''],
  ] as const)('%j gives objects', (args, key) => {
    const { stdout } = command.run(args);
    const objects =
      stdout.trimEnd().split('\n').length > 1 && args[0] === 'diff' ? [stdout] : stdout.trimEnd().split('\n');
    const parsed = objects.map((text) => JSON.parse(text) as object);
    expect(parsed.length).toBeGreaterThan(0);
    if (key !== '') expect(parsed.some((object) => key in object)).toBe(true);
  });
  it('places faults', () => {
    const { stdout } = command.run(['check', bad, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      diagnostics: [
        { code: 'unknown-option', line: 3, column: 17, hint: expect.any(String) },
        { line: 4, column: 13 },
      ],
    });
  });
});

describe('pipes and terminals', () => {
  it.each([
    `$CHAINWALK fmt rules/kubernetes-node1.rules | head -1`,
    `$CHAINWALK replay ${BUNDLE} ${LAN} ${WAN} --json | head -1`,
    `$CHAINWALK replay ${BUNDLE} ${LAN} ${WAN} --write - 2>/dev/null | head -c 4`,
    `$CHAINWALK check ${bad} 2>&1 | head -1`,
  ])('%s is quiet', (script) => {
    const ran = command.shell(script);
    expect(ran.stderr).toBe('');
    expect(ran.stdout.length).toBeGreaterThan(0);
  });
  it.skipIf(!isInstalled('script', '--version'))('colours only on a terminal, and not with NO_COLOR', () => {
    const inTerminal = (env: string): string =>
      command.shell(
        `env -u NO_COLOR -u CI ${env} script -qec "$CHAINWALK replay ${BUNDLE} ${LAN}" /dev/null </dev/null`,
      ).stdout;
    expect(inTerminal('TERM=xterm')).toContain('\u001b[1m');
    expect(inTerminal('TERM=xterm NO_COLOR=1')).not.toContain('\u001b[');
    expect(command.run(['replay', BUNDLE, LAN], '', { FORCE_COLOR: '0' }).stdout).not.toContain('\u001b');
  });
});

describe('a rule file alone', () => {
  it('says what it takes for granted', () => {
    const { stdout } = command.run(['trace', good, 'tcp 10.1.1.1:4000 > 192.0.2.9:22']);
    expect(stdout).toContain('assumed: the host has one interface, eth0');
    expect(stdout).toContain('assumed: the host has no address but those of lo');
    expect(stdout).toMatch(/^after {3}sent by eth0: /m);
  });
  it('is shaped by --addr and --route', () => {
    const shape = ['--addr', 'eth0=10.0.0.1/24', '--addr', 'eth1=192.0.2.1/24', '--route', 'default,192.0.2.254,eth1'];
    const forwarded = command.run(['trace', good, 'tcp 10.0.0.2:4000 > 198.51.100.1:80', ...shape]);
    expect(forwarded.stdout).toMatch(/in by eth0$/m);
    expect(forwarded.stdout).toMatch(/^after {3}sent by eth1: /m);
    const dropped = command.run(['trace', good, 'udp 10.0.0.2:4000 > 198.51.100.1:53', ...shape]);
    expect(dropped.stdout).toMatch(/^after {3}dropped at FORWARD: rule 1 \(line 5\) of FORWARD in filter$/m);
    const own = command.run(['trace', good, 'tcp 10.0.0.1:4000 > 10.0.0.2:80', ...shape]);
    expect(own.stdout).toContain("the host's own\n");
  });
});
