/** The command line as it is installed: built once for a test file, then run as a process of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class BuiltCommand {
  /** For the test's own files; gone with `remove`. */
  readonly folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
  readonly main = join(this.folder, 'dist/cli/main.js');

  constructor() {
    cpSync('package.json', join(this.folder, 'package.json'));
    symlinkSync(resolve('node_modules'), join(this.folder, 'node_modules'));
    const tsc = resolve('node_modules/.bin/tsc');
    execFileSync(tsc, ['-p', 'tsconfig.build.json', '--outDir', join(this.folder, 'dist'), '--declaration', 'false']);
  }

  /** Paths in `args` count from the repository. */
  run(args: readonly string[], input?: string | Uint8Array, env: Readonly<Record<string, string>> = {}): Ran {
    const { status, stdout, stderr } = spawnSync(process.execPath, [this.main, ...args], {
      input: input ?? '',
      encoding: 'utf8',
      env: { ...process.env, ...env },
      maxBuffer: 1 << 28,
      timeout: 120_000,
    });
    return { status, stdout, stderr };
  }

  /** A shell's pipeline; $CHAINWALK runs the command. */
  shell(script: string): Ran {
    const CHAINWALK = `${process.execPath} ${this.main}`;
    const env = { ...process.env, CHAINWALK };
    const { status, stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8', env, timeout: 120_000 });
    return { status, stdout, stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether a program can be called. */
export function isInstalled(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
