/** The public door. Everything a program may use is named here; nothing else is promised to stay. */
export { type ChainDifference, diffRuleSets, type RuleDifference, type RuleSetDifference } from './analysis/diff.js';
export type { Clock } from './base/clock.js';
export { DEFAULT_HZ, VirtualClock } from './base/clock.js';
export { type Diagnostic, renderDiagnostic } from './base/diagnostic.js';
export { Rng } from './base/rng.js';
export { type Position, positionOf, type Source, type Span } from './base/source.js';
export { type CaptureFault, renderCaptureFault } from './capture/fault.js';
export { CaptureMerge, MERGE_END, MERGE_STARVED } from './capture/merge.js';
export { PcapngWriter } from './capture/pcapng-writer.js';
export { CaptureReader, captureRecords } from './capture/reader.js';
export { CaptureRecord } from './capture/record.js';
export type { Conntrack, NatRange, TupleView } from './conntrack/conntrack.js';
export { ConntrackTable } from './conntrack/conntrack-table.js';
export { printEntries } from './conntrack/print.js';
export { type CompiledEngine, compiledEngine } from './engine/compiled/engine.js';
export type { BuildEngine, Decision, Engine, TraceSink } from './engine/engine.js';
export { referenceEngine } from './engine/reference/walk.js';
export type { BindEnv, HostServices, MatchExt, MatchUse, TargetExt, TargetUse } from './ext/extension.js';
export { MATCHES, TARGETS } from './ext/registry.js';
export { HOST_FILES, type ParsedBundle, parseBundle } from './host/bundle.js';
export { type DefaultHost, type DefaultHostOptions, makeDefaultHost } from './host/default-host.js';
export type { DropReason } from './host/drop-reason.js';
export type { HostEvents, InFrame, SentFrame } from './host/event.js';
export { Host, type HostOptions } from './host/host.js';
export type {
  AddressConfig,
  DeviceConfig,
  HostConfig,
  NeighbourConfig,
  RouteConfig,
  RuleConfig,
} from './host/host-config.js';
export type { HostPacket } from './host/host-packet.js';
export { AllNodes, type ClusterPatch, type Difference, type PatchGroup } from './kube/all-nodes.js';
export { clusterOf, clusterState, type KubeCluster, nodeContext, ordinaryHost } from './kube/cluster.js';
export { defaultConfig, type ProxyConfig, readConfig } from './kube/config.js';
export { type Explanation, explainRules } from './kube/explain.js';
export { faultOfHistory, type History, type RecordedStep, replayHistory } from './kube/history.js';
export { type LoadedObjects, loadObjects } from './kube/load.js';
export type { ProxyHost } from './kube/node.js';
export type { EndpointSlice, KubeNode, Pod, Service } from './kube/objects.js';
export type { Balance, ProxyContext } from './kube/proxy/context.js';
export { enginePatch, UnsupportedRule } from './kube/proxy/engine-patch.js';
export { fullRestore, fullRestoreBytes } from './kube/proxy/full-text.js';
export { KernelTables } from './kube/proxy/jumps.js';
export { nodeText } from './kube/proxy/node-text.js';
export type { ChainChange, RuleEdit } from './kube/proxy/patch.js';
export { Proxier, type SyncResult, type SyncWorld } from './kube/proxy/proxier.js';
export { ClusterState, type StateChange } from './kube/state.js';
export { printTable, type TableRow, tableRows } from './kube/table-view.js';
export type { BaseChainName, Family, Hook, TableName } from './net/netfilter.js';
export { describePacket } from './replay/describe.js';
export { type CaptureInput, type DirectionChoice, FrameSource } from './replay/frame-source.js';
export type { PacketResult } from './replay/packet-result.js';
export { type DescribedPacket, parsePacketText } from './replay/packet-text.js';
export { makeReplayHost, type ReplayHost, type ReplayHostOptions } from './replay/replay-host.js';
export { ReplaySession, type SessionSinks } from './replay/session.js';
export { emptyTotals, type ReplayTotals } from './replay/totals.js';
export { printReplaySummary } from './report/replay-text.js';
export { TraceStory } from './report/trace-text.js';
export { detectFamily } from './ruleset/detect-family.js';
export type { Chain, Rule, RuleSet, Table } from './ruleset/model.js';
export { type ParsedRuleSet, type ParseOptions, parseRuleSet } from './ruleset/parse.js';
export { type PrintOptions, printRule, printRuleSet } from './ruleset/print.js';
export { Field } from './wire/field.js';
export { Packet } from './wire/packet.js';
export { emitIp, type IpRepr, sizeOf } from './wire/repr.js';
