import { join } from 'node:path'
import { AGENT_FEATURES, type AgentFrame, type RuntimeInfo, type RuntimeName } from '@skerry/contracts'
import type { ConverterWorker } from '@skerry/converter'
import type { TfliteRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { ArtifactCache } from './artifact-cache.ts'
import { BlobClient } from './blob-client.ts'
import { BenchmarkLog } from './capacity/benchmark-log.ts'
import { type Conditions, readConditions } from './capacity/conditions.ts'
import { DeployedBenchmarks } from './capacity/deployed-benchmarks.ts'
import type { AgentSettings } from './config.ts'
import { Connection, type ConnectionDeps, type Hello } from './connection.ts'
import { DesiredStore } from './desired-store.ts'
import type { RecentLog } from './diagnostics/recent-log.ts'
import { SituationReader } from './diagnostics/situation.ts'
import { endpointsOf } from './endpoints.ts'
import { machineSize, readFacts } from './facts.ts'
import { GoldenLog, type Versions } from './golden-log.ts'
import { HealthReader } from './health.ts'
import type { HttpExchange } from './http-exchange.ts'
import type { Identity } from './identity.ts'
import { JobDesk } from './job-desk.ts'
import { clearWorkDir } from './jobs/conversion.ts'
import { jobExecutors, workDirOf } from './jobs/executors.ts'
import { Journal } from './journal.ts'
import { DeviceKeys } from './keys/device-keys.ts'
import { Lane } from './lane.ts'
import { LatencyLog } from './latency-log.ts'
import type { LiteRtSource } from './library/litert-source.ts'
import { NetworkMeter } from './network-meter.ts'
import { Nightly } from './nightly.ts'
import { type PlacementFrame, Reconciler } from './reconciler.ts'
import type { LiveConfig } from './remote/live-config.ts'
import { RemoteControl } from './remote/remote-control.ts'
import { RuntimeHost } from './runtime-host.ts'
import type { StepDeps } from './steps/step-deps.ts'
import type { SystemFiles } from './system/system-files.ts'
import { readVersions } from './system/versions.ts'
import { WorkGate } from './system/work-gate.ts'

export type AgentDeps = {
  settings: AgentSettings
  identity: Identity
  /** What may change while it runs. */
  live: LiveConfig
  liteRt: LiteRtSource
  startRuntime: (name: RuntimeName) => Promise<TfliteRuntime>
  files: SystemFiles
  /** On a device that converts. */
  converter?: { worker: ConverterWorker; stamp?: string }
  http: HttpExchange
  log: Logger
  recentLog?: RecentLog | undefined
  /** Milliseconds since the epoch. */
  now: () => number
}

/** What the parts tell the agent; nothing of it before the connection or the nightly round is started. */
export type AgentEvents = Pick<ConnectionDeps, 'onSession' | 'onFrame' | 'onLost' | 'onRevoked'> & {
  /** The device takes no work, for this reason, or takes it again. */
  onGate: (reason: string | null) => void
}

/** The token comes with each session, long after what uses it was made. */
export type HttpSession = { httpToken: string | null }

export type AgentParts = {
  session: HttpSession
  cache: ArtifactCache
  desired: DesiredStore
  benchmarkLog: BenchmarkLog
  benchmarks: DeployedBenchmarks
  goldens: GoldenLog
  host: RuntimeHost
  reconciler: Reconciler
  nightly: Nightly
  latency: LatencyLog
  gate: WorkGate
  inferLane: Lane
  health: HealthReader
  desk: JobDesk
  situation: SituationReader
  remote: RemoteControl
  keys: DeviceKeys
  connection: Connection
}

const JOURNAL_BOUNDS = { entries: 2_000, bytes: 64 * 1024 * 1024 }

/** Opens what an agent keeps on disk and connects its parts; none of them runs yet. */
export async function openParts(deps: AgentDeps, events: AgentEvents): Promise<AgentParts> {
  const { settings, identity, live, liteRt, files, http, log, now } = deps
  const { dataDir, random, slots, onPoint } = settings
  const endpoints = endpointsOf(settings.url)
  const session: HttpSession = { httpToken: null }
  const httpToken = (): string | null => session.httpToken
  const meter = new NetworkMeter()
  const blobs = new BlobClient({ http, blobUrl: endpoints.blob, httpToken, random, meter })
  const limits = { maxBytes: settings.cacheBytes, now }
  const cache = await ArtifactCache.open(join(dataDir, 'artifacts'), blobs, random, limits, onPoint)
  const journal = await Journal.open(join(dataDir, 'journal'), JOURNAL_BOUNDS, log, onPoint)
  await clearWorkDir(workDirOf(dataDir), log)
  const goldens = await GoldenLog.open(join(dataDir, 'goldens.json'), log)
  const desired = new DesiredStore(dataDir, log)
  const benchmarkLog = await BenchmarkLog.open(join(dataDir, 'benchmarks.json'), log)

  const send = (frame: AgentFrame, body?: readonly Uint8Array[]): boolean => connection.send(frame, body)
  const host = new RuntimeHost({
    start: deps.startRuntime,
    threads: live.config.threads,
    processes: live.config.slots,
    invokeTimeoutMs: settings.invokeTimeoutMs,
    log,
    onLost: (runtime, models) => reconciler.runtimeLost(runtime, models)
  })
  const { controlPlanePublicKey } = identity
  const { oldestArtifact } = settings
  const steps: StepDeps = { cache, host, controlPlanePublicKey, oldestArtifact, log }
  const versionsOf = (runtime: RuntimeName): Promise<Versions> => runtimeVersions(deps, runtime)
  const report = (frame: PlacementFrame): void => {
    send(frame)
    if (frame.state === 'ready') benchmarks.look()
  }
  const reconciler = new Reconciler({ ...steps, report, goldens, versionsOf, random, now, onPoint })
  const nightly = new Nightly({ run: () => reconciler.recheck(), random, now })
  const latency = new LatencyLog({ send, now, onPoint })
  const machine = machineSize()
  const gate = new WorkGate({ files, machine, limits: live.config, now, onChange: events.onGate })
  const inferLane = new Lane(live.config.slots)
  const convertLane = new Lane(slots.convert)
  const health = new HealthReader({
    files,
    machine,
    dataDir,
    childPids: () => host.pids(),
    queueDepth: () => inferLane.waiting() + convertLane.waiting(),
    refusal: () => gate.refusal(),
    network: () => meter.facts(),
    now
  })
  const recordLatency = latency.record.bind(latency)
  const lanes = { infer: inferLane, convert: convertLane }
  const detailsOf = (runtime: RuntimeName) => ({
    runtimeVersion: runtimeInfo(deps, runtime).version,
    threads: live.config.threads
  })
  const benchmarks = new DeployedBenchmarks({
    ...{ ...steps, kept: benchmarkLog, reconciler, lanes, detailsOf, send, now },
    refusal: () => gate.refusal(),
    conditionsOf: (runtime) => runtimeConditions(deps, runtime)
  })
  const onMeasured = benchmarks.noteJob.bind(benchmarks)
  const desk = new JobDesk({
    executors: jobExecutors({ ...deps, ...steps, reconciler, blobs, recordLatency, detailsOf, onMeasured }),
    lanes,
    admit: () => gate.admit(),
    journal,
    send,
    now,
    log,
    onPoint
  })
  const hello = (): Promise<Hello> => readHello(deps, desk)
  const seen = { live, host, reconciler, lane: inferLane, desk }
  const { recentLog } = deps
  const situation = new SituationReader({
    ...{ ...seen, identity, settings, journal, cache, recentLog, httpToken, versionsOf, now }
  })
  const remote = new RemoteControl({
    ...seen,
    fetchLibrary: (signal) => liteRt.fetch({ ...deps, ...settings, ...endpoints, httpToken, ...identity }, signal),
    mayBeRenewed: () => liteRt.mayBeRenewed(),
    gate,
    blobs,
    hello,
    situation: (said) => situation.read(said),
    send,
    log
  })
  const keys = new DeviceKeys({ dataDir, identity, http, url: endpoints.rotateKey, random, onPoint, log })
  const connection = new Connection({
    url: endpoints.socket,
    deviceId: identity.deviceId,
    sign: (nonce) => keys.sign(nonce),
    onUnproven: () => keys.onUnproven(),
    hello,
    ...events,
    random,
    log
  })
  return {
    ...{
      session,
      cache,
      desired,
      benchmarkLog,
      benchmarks,
      goldens,
      host,
      reconciler,
      nightly,
      latency,
      gate,
      inferLane
    },
    ...{ health, desk, situation, remote, keys, connection }
  }
}

function runtimeInfo({ live }: AgentDeps, runtime: RuntimeName): RuntimeInfo {
  return live.runtimes.find(({ name }) => name === runtime) ?? { name: runtime, version: 'unknown' }
}

function runtimeVersions(deps: AgentDeps, runtime: RuntimeName): Promise<Versions> {
  const { liteRt, files } = deps
  return readVersions(runtimeInfo(deps, runtime), runtime === 'litert' ? liteRt.library : undefined, files)
}

/** What a benchmark of a model holds for; another device's figures are another's. */
async function runtimeConditions(deps: AgentDeps, runtime: RuntimeName): Promise<Conditions | null> {
  const { liteRt, live, files, identity } = deps
  const { library, version } = runtime === 'litert' ? liteRt : { library: undefined, version: undefined }
  const conditions = await readConditions({ runtime, library, version, threads: live.config.threads }, files)
  return conditions === null ? null : { ...conditions, device: identity.deviceId }
}

/** What the device says of itself now. */
async function readHello(deps: AgentDeps, desk: JobDesk): Promise<Hello> {
  const { settings, live, liteRt, files, converter } = deps
  const { capabilities, dataDir } = settings
  const slots = { infer: live.config.slots, convert: settings.slots.convert }
  const facts = await readFacts(dataDir, live, files, converter?.stamp)
  return {
    capabilities,
    slots,
    facts: { ...facts, ...liteRt.unavailable(), understands: [...AGENT_FEATURES] },
    holding: desk.holding()
  }
}
