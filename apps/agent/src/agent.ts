import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AGENT_FEATURES, type AgentFrame, type RuntimeName } from '@skerry/contracts'
import type { ConverterWorker } from '@skerry/converter'
import type { TfliteRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { wordsOf } from './agent-error.ts'
import { ArtifactCache } from './artifact-cache.ts'
import { BlobClient } from './blob-client.ts'
import type { AgentSettings } from './config.ts'
import { Connection, type Hello, type SessionFrame, type Welcome } from './connection.ts'
import { DesiredStore } from './desired-store.ts'
import type { RecentLog } from './diagnostics/recent-log.ts'
import { SituationReader } from './diagnostics/situation.ts'
import { endpointsOf } from './endpoints.ts'
import { agentVersion, machineSize, readFacts } from './facts.ts'
import { GoldenLog, type Versions } from './golden-log.ts'
import { HealthReader } from './health.ts'
import type { HttpExchange } from './http-exchange.ts'
import { answerChallenge, type Identity, identityPath } from './identity.ts'
import { JobDesk } from './job-desk.ts'
import { benchmarkExecutor } from './jobs/benchmark.ts'
import { clearWorkDir, conversionExecutor } from './jobs/conversion.ts'
import { inferenceExecutor } from './jobs/inference.ts'
import type { JobExecutors } from './jobs/job-outcome.ts'
import { Journal } from './journal.ts'
import { Lane } from './lane.ts'
import { LatencyLog } from './latency-log.ts'
import type { LiteRtSource } from './library/litert-source.ts'
import { LocalModels } from './local/local-models.ts'
import { LocalServer } from './local/local-server.ts'
import { NetworkMeter } from './network-meter.ts'
import { Nightly } from './nightly.ts'
import { Reconciler } from './reconciler.ts'
import type { LiveConfig } from './remote/live-config.ts'
import { RemoteControl } from './remote/remote-control.ts'
import { RuntimeHost } from './runtime-host.ts'
import type { StepDeps } from './steps/step-deps.ts'
import type { SystemFiles } from './system/system-files.ts'
import { readVersions } from './system/versions.ts'
import { WorkGate } from './system/work-gate.ts'

export type AgentExit = { reason: 'stopped' } | { reason: 'revoked'; message: string }

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

type Session = { httpToken: string | null }

const JOURNAL_BOUNDS = { entries: 2_000, bytes: 64 * 1024 * 1024 }

/** One device's agent from its first connection to its end: connects the parts and passes frames between them. */
export class Agent {
  readonly connected: Promise<void>
  readonly closed: Promise<AgentExit>
  readonly #deps: AgentDeps
  readonly #connection: Connection
  readonly #desk: JobDesk
  readonly #reconciler: Reconciler
  readonly #host: RuntimeHost
  readonly #latency: LatencyLog
  readonly #health: HealthReader
  readonly #session: Session
  readonly #cache: ArtifactCache
  readonly #desired: DesiredStore
  readonly #inferLane: Lane
  readonly #gate: WorkGate
  readonly #nightly: Nightly
  readonly #goldens: GoldenLog
  readonly #situation: SituationReader
  readonly #remote: RemoteControl
  #local: LocalServer | null = null
  #heartbeat: NodeJS.Timeout | null = null
  #onConnected: () => void = () => undefined
  #onClosed: (exit: AgentExit) => void = () => undefined
  #ending: Promise<void> | null = null

  static async start(deps: AgentDeps): Promise<Agent> {
    const { settings, http, log } = deps
    const endpoints = endpointsOf(settings.url)
    const { random, onPoint } = settings
    // The token comes with each session, long after the client was made.
    const session: Session = { httpToken: null }
    const meter = new NetworkMeter()
    const blobs = new BlobClient({ http, blobUrl: endpoints.blob, httpToken: () => session.httpToken, random, meter })
    const limits = { maxBytes: settings.cacheBytes, now: deps.now }
    const cache = await ArtifactCache.open(join(settings.dataDir, 'artifacts'), blobs, random, limits, onPoint)
    const journal = await Journal.open(join(settings.dataDir, 'journal'), JOURNAL_BOUNDS, log, onPoint)
    await clearWorkDir(join(settings.dataDir, 'work'), log)
    const goldens = await GoldenLog.open(join(settings.dataDir, 'goldens.json'), log)
    const agent = new Agent(deps, endpoints.socket, session, blobs, cache, journal, goldens, meter)
    await agent.#serveLocally()
    const known = await agent.#desired.load()
    if (known !== null) agent.#reconciler.setDesired(known)
    agent.#nightly.start()
    agent.#connection.start()
    return agent
  }

  private constructor(
    deps: AgentDeps,
    socketUrl: URL,
    session: Session,
    blobs: BlobClient,
    cache: ArtifactCache,
    journal: Journal,
    goldens: GoldenLog,
    meter: NetworkMeter
  ) {
    const { settings, identity, live, files, log, now } = deps
    const { random, slots, onPoint } = settings
    this.#deps = deps
    this.#session = session
    this.#cache = cache
    this.#desired = new DesiredStore(settings.dataDir, log)
    this.#inferLane = new Lane(live.config.slots)
    this.connected = new Promise((resolve) => {
      this.#onConnected = resolve
    })
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve
    })
    const send = (frame: AgentFrame, body?: readonly Uint8Array[]): boolean => this.#connection.send(frame, body)
    this.#host = new RuntimeHost({
      start: deps.startRuntime,
      threads: live.config.threads,
      processes: live.config.slots,
      invokeTimeoutMs: settings.invokeTimeoutMs,
      log,
      onLost: (runtime, models) => this.#reconciler.runtimeLost(runtime, models)
    })
    const { controlPlanePublicKey } = identity
    const { oldestArtifact } = settings
    const steps: StepDeps = { cache, host: this.#host, controlPlanePublicKey, oldestArtifact, log }
    const versionsOf = (runtime: RuntimeName): Promise<Versions> => this.#versionsOf(runtime)
    this.#reconciler = new Reconciler({ ...steps, report: send, goldens, versionsOf, random, now, onPoint })
    this.#nightly = new Nightly({ run: () => this.#reconciler.recheck(), random, now })
    this.#goldens = goldens
    this.#latency = new LatencyLog({ send, now, onPoint })
    const machine = machineSize()
    this.#gate = new WorkGate({ files, machine, limits: live.config, now, onChange: (reason) => this.#onGate(reason) })
    const convertLane = new Lane(slots.convert)
    this.#health = new HealthReader({
      files,
      machine,
      dataDir: settings.dataDir,
      childPids: () => this.#host.pids(),
      queueDepth: () => this.#inferLane.waiting() + convertLane.waiting(),
      refusal: () => this.#gate.refusal(),
      network: () => meter.facts(),
      now
    })
    this.#desk = new JobDesk({
      executors: this.#executors(steps, blobs),
      lanes: { infer: this.#inferLane, convert: convertLane },
      admit: () => this.#gate.admit(),
      journal,
      send,
      now,
      log,
      onPoint
    })
    const parts = { live, host: this.#host, reconciler: this.#reconciler, lane: this.#inferLane, desk: this.#desk }
    const { recentLog } = deps
    const httpToken = () => session.httpToken
    this.#situation = new SituationReader({
      ...{ ...parts, identity, settings, journal, cache, recentLog, httpToken, versionsOf, now }
    })
    this.#remote = new RemoteControl({
      ...parts,
      fetchLibrary: (signal) =>
        deps.liteRt.fetch({ ...deps, ...settings, ...endpointsOf(settings.url), httpToken, ...identity }, signal),
      gate: this.#gate,
      blobs,
      hello: () => this.#hello(),
      situation: (hello) => this.#situation.read(hello),
      send,
      log
    })
    this.#connection = new Connection({
      url: socketUrl,
      deviceId: identity.deviceId,
      sign: (nonce) => answerChallenge(identity, nonce),
      hello: () => this.#hello(),
      onSession: (welcome) => this.#onSession(welcome),
      onFrame: (frame, body) => this.#onFrame(frame, body),
      onLost: () => this.#onSessionLost(),
      onRevoked: (detail) => this.#onRevoked(detail),
      random,
      log
    })
  }

  /** Where local inference listens: an http: address or a socket's path; null when it is off. */
  get localAddress(): string | null {
    return this.#local?.address ?? null
  }

  stop(): Promise<void> {
    return this.#end({ reason: 'stopped' })
  }

  async #serveLocally(): Promise<void> {
    const { settings, log } = this.#deps
    if (settings.local === undefined) return
    const models = new LocalModels({
      reconciler: this.#reconciler,
      host: this.#host,
      lane: this.#inferLane,
      admit: () => this.#gate.admit(),
      recordLatency: (...sample) => this.#latency.record(...sample)
    })
    this.#local = await LocalServer.start({ ...settings.local, models, agentVersion, log })
    log.info({ address: this.#local.address }, 'local inference is offered')
  }

  #executors(steps: StepDeps, blobs: BlobClient): Partial<JobExecutors> {
    const { settings, live, converter, log, now } = this.#deps
    const { capabilities, python, liteRtLibrary, liteRtVersion, random } = settings
    const reconciler = this.#reconciler
    const executors: Partial<JobExecutors> = {}
    if (capabilities.includes('infer')) {
      executors.inference = inferenceExecutor({
        reconciler,
        host: this.#host,
        blobs,
        recordLatency: (...sample) => this.#latency.record(...sample),
        now
      })
      executors.benchmark = benchmarkExecutor({ ...steps, reconciler, now })
    }
    if (converter !== undefined && python !== undefined) {
      executors.conversion = conversionExecutor({
        blobs,
        workDir: join(settings.dataDir, 'work'),
        python,
        ...converter,
        ...(liteRtLibrary === undefined ? {} : { liteRtLibrary }),
        ...(liteRtVersion === undefined ? {} : { liteRtVersion }),
        runtimes: live.runtimes.map(({ name }) => name),
        random,
        log
      })
    }
    return executors
  }

  #versionsOf(runtime: RuntimeName): Promise<Versions> {
    const { liteRt, live, files } = this.#deps
    const info = live.runtimes.find(({ name }) => name === runtime) ?? { name: runtime, version: 'unknown' }
    return readVersions(info, runtime === 'litert' ? liteRt.library : undefined, files)
  }

  async #hello(): Promise<Hello> {
    const { settings, live, liteRt, files, converter } = this.#deps
    const { capabilities, dataDir } = settings
    const slots = { infer: live.config.slots, convert: settings.slots.convert }
    const facts = await readFacts(dataDir, live.runtimes, files, converter?.stamp)
    return {
      capabilities,
      slots,
      facts: { ...facts, ...liteRt.unavailable(), understands: [...AGENT_FEATURES] },
      holding: this.#desk.holding()
    }
  }

  #onSession({ session, httpToken, heartbeatMs, controlPlanePublicKey }: Welcome): void {
    const { identity, log } = this.#deps
    log.info({ deviceId: identity.deviceId, session }, 'in session with the control plane')
    if (controlPlanePublicKey !== identity.controlPlanePublicKey) {
      log.warn('the control plane signs with another key than at enrolment: what it signs now is refused; join again')
    }
    this.#session.httpToken = httpToken
    this.#onConnected()
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs)
    this.#beat()
    this.#latency.resend()
    this.#remote.onSession()
    this.#inBackground(this.#desk.resendAll())
  }

  #onSessionLost(): void {
    this.#session.httpToken = null
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    this.#heartbeat = null
  }

  #beat(): void {
    this.#inBackground(
      this.#health.read().then((health) => {
        this.#situation.noteHealth(health)
        this.#connection.send({ type: 'heartbeat', health })
      })
    )
    this.#latency.flush()
    this.#inBackground(this.#desk.resendStale())
  }

  /** The control plane hears at once that work would be refused, or no longer is. */
  #onGate(reason: string | null): void {
    if (reason === null) this.#deps.log.info('the device takes work again')
    else this.#deps.log.warn({ reason }, 'the device takes no work')
    if (this.#heartbeat !== null) setImmediate(() => this.#beat())
  }

  #onFrame(frame: SessionFrame, body: Uint8Array): void {
    switch (frame.type) {
      case 'desired':
        this.#onDesired(frame)
        break
      case 'config':
      case 'diagnose':
        this.#remote.onFrame(frame)
        break
      case 'assign':
        this.#onAssign(frame, body)
        break
      case 'cancel':
        this.#desk.cancel(frame)
        break
      case 'ack':
        if (frame.status !== 'accepted') this.#deps.log.warn(frame, 'a result came too late to count')
        this.#desk.ack(frame)
        break
      case 'latency-ack':
        this.#latency.ack(frame.seq)
        break
    }
  }

  #onDesired({ artifacts, refused }: Extract<SessionFrame, { type: 'desired' }>): void {
    this.#reconciler.setDesired(artifacts)
    this.#desired.save(artifacts)
    for (const { deployment, artifact } of refused) {
      const reason = 'This agent does not understand what is wanted (an unknown runtime, or an older agent).'
      this.#connection.send({ type: 'placement', deployment, artifact, state: 'failed', reason })
    }
  }

  #onAssign({ jobId, epoch, work }: Extract<SessionFrame, { type: 'assign' }>, body: Uint8Array): void {
    const ref = { jobId, epoch }
    if (work !== null) this.#desk.assign(ref, work, body)
    else {
      const message = 'This agent does not understand this kind of work.'
      this.#desk.refuse(ref, { code: 'agent-failed', message, retryable: true })
    }
  }

  #onRevoked(detail: string): void {
    const { settings } = this.#deps
    const again = `To use the machine again, delete ${identityPath(settings.dataDir)} and join with a new token.`
    const message = `The control plane revoked this device: ${detail} ${again}`
    this.#inBackground(this.#end({ reason: 'revoked', message }))
  }

  #end(exit: AgentExit): Promise<void> {
    this.#ending ??= this.#close().finally(() => this.#onClosed(exit))
    return this.#ending
  }

  async #close(): Promise<void> {
    const { settings, http } = this.#deps
    this.#nightly.stop()
    const halted = this.#reconciler.stop()
    await Promise.all([this.#desk.stop(settings.stopGraceMs), this.#local?.stop(settings.stopGraceMs)])
    await this.#remote.stop()
    this.#latency.stop()
    this.#health.stop()
    await this.#connection.stop()
    this.#onSessionLost()
    await this.#host.close()
    await this.#deps.converter?.worker.stop()
    await halted
    await this.#cache.close()
    await this.#desired.close()
    await this.#goldens.close()
    http.close()
    await rm(join(settings.dataDir, 'work'), { recursive: true, force: true })
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) =>
      this.#deps.log.error({ error: wordsOf(error) }, 'something failed in the background')
    )
  }
}
