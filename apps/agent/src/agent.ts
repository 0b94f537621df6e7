import { rm } from 'node:fs/promises'
import { wordsOf } from './agent-error.ts'
import { type AgentDeps, type AgentParts, openParts } from './agent-parts.ts'
import type { SessionFrame, Welcome } from './connection.ts'
import { agentVersion } from './facts.ts'
import { identityPath } from './identity.ts'
import { workDirOf } from './jobs/executors.ts'
import { LocalModels } from './local/local-models.ts'
import { LocalServer } from './local/local-server.ts'

export type AgentExit = { reason: 'stopped' } | { reason: 'revoked'; message: string }

/** One device's agent from its first connection to its end: passes what comes from one part to the others. */
export class Agent {
  readonly connected: Promise<void>
  readonly closed: Promise<AgentExit>
  readonly #deps: AgentDeps
  readonly #parts: AgentParts
  #local: LocalServer | null = null
  #heartbeat: NodeJS.Timeout | null = null
  #onConnected: () => void = () => undefined
  #onClosed: (exit: AgentExit) => void = () => undefined
  #ending: Promise<void> | null = null

  static async start(deps: AgentDeps): Promise<Agent> {
    const parts = await openParts(deps, {
      onSession: (welcome) => agent.#onSession(welcome),
      onFrame: (frame, body) => agent.#onFrame(frame, body),
      onLost: () => agent.#onSessionLost(),
      onRevoked: (detail) => agent.#onRevoked(detail),
      onGate: (reason) => agent.#onGate(reason)
    })
    const agent = new Agent(deps, parts)
    await agent.#serveLocally()
    const known = await parts.desired.load()
    if (known !== null) parts.reconciler.setDesired(known)
    parts.nightly.start()
    parts.connection.start()
    return agent
  }

  private constructor(deps: AgentDeps, parts: AgentParts) {
    this.#deps = deps
    this.#parts = parts
    this.connected = new Promise((resolve) => {
      this.#onConnected = resolve
    })
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve
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
    const { reconciler, host, inferLane: lane, gate, latency } = this.#parts
    const admit = (): Promise<void> => gate.admit()
    const recordLatency = latency.record.bind(latency)
    const models = new LocalModels({ reconciler, host, lane, admit, recordLatency })
    this.#local = await LocalServer.start({ ...settings.local, models, agentVersion, log })
    log.info({ address: this.#local.address }, 'local inference is offered')
  }

  #onSession({ session, httpToken, heartbeatMs, controlPlanePublicKey, understands = [] }: Welcome): void {
    const { identity, log } = this.#deps
    log.info({ deviceId: identity.deviceId, session }, 'in session with the control plane')
    if (controlPlanePublicKey !== identity.controlPlanePublicKey) {
      log.warn('the control plane signs with another key than at enrolment: what it signs now is refused; join again')
    }
    this.#parts.session.httpToken = httpToken
    this.#onConnected()
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs)
    this.#beat()
    this.#parts.keys.onSession()
    this.#parts.latency.resend()
    this.#parts.benchmarks.onSession(understands)
    this.#parts.remote.onSession()
    this.#inBackground(this.#parts.desk.resendAll())
  }

  #onSessionLost(): void {
    this.#parts.session.httpToken = null
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat)
    this.#heartbeat = null
  }

  #beat(): void {
    this.#inBackground(
      this.#parts.health.read().then((health) => {
        this.#parts.situation.noteHealth(health)
        this.#parts.connection.send({ type: 'heartbeat', health })
      })
    )
    this.#parts.latency.flush()
    this.#parts.benchmarks.resend()
    this.#inBackground(this.#parts.desk.resendStale())
  }

  /** The control plane hears at once that work would be refused, or no longer is. */
  #onGate(reason: string | null): void {
    if (reason === null) {
      this.#deps.log.info('the device takes work again')
      this.#parts.benchmarks.look()
    } else this.#deps.log.warn({ reason }, 'the device takes no work')
    if (this.#heartbeat !== null) setImmediate(() => this.#beat())
  }

  #onFrame(frame: SessionFrame, body: Uint8Array): void {
    switch (frame.type) {
      case 'desired':
        this.#onDesired(frame)
        break
      case 'config':
      case 'diagnose':
        this.#parts.remote.onFrame(frame)
        break
      case 'rotate-key':
        this.#parts.keys.rotate()
        break
      case 'assign':
        this.#onAssign(frame, body)
        break
      case 'cancel':
        this.#parts.desk.cancel(frame)
        break
      case 'ack':
        if (frame.status !== 'accepted') this.#deps.log.warn(frame, 'a result came too late to count')
        this.#parts.desk.ack(frame)
        break
      case 'latency-ack':
        this.#parts.latency.ack(frame.seq)
        break
      case 'benchmark-ack':
        this.#parts.benchmarks.ack(frame.id)
        break
    }
  }

  #onDesired({ artifacts, refused }: Extract<SessionFrame, { type: 'desired' }>): void {
    this.#parts.reconciler.setDesired(artifacts)
    this.#parts.desired.save(artifacts)
    for (const { deployment, artifact } of refused) {
      const reason = 'This agent does not understand what is wanted (an unknown runtime, or an older agent).'
      this.#parts.connection.send({ type: 'placement', deployment, artifact, state: 'failed', reason })
    }
  }

  #onAssign({ jobId, epoch, work }: Extract<SessionFrame, { type: 'assign' }>, body: Uint8Array): void {
    const ref = { jobId, epoch }
    if (work !== null) this.#parts.desk.assign(ref, work, body)
    else {
      const message = 'This agent does not understand this kind of work.'
      this.#parts.desk.refuse(ref, { code: 'agent-failed', message, retryable: true })
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
    const parts = this.#parts
    parts.nightly.stop()
    const measured = parts.benchmarks.stop()
    const halted = parts.reconciler.stop()
    await Promise.all([parts.desk.stop(settings.stopGraceMs), this.#local?.stop(settings.stopGraceMs)])
    await Promise.all([parts.remote.stop(), parts.keys.stop()])
    parts.latency.stop()
    parts.health.stop()
    await parts.connection.stop()
    this.#onSessionLost()
    await parts.host.close()
    await this.#deps.converter?.worker.stop()
    await halted
    await measured
    await parts.benchmarkLog.close()
    await parts.cache.close()
    await parts.desired.close()
    await parts.goldens.close()
    http.close()
    await rm(workDirOf(settings.dataDir), { recursive: true, force: true })
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) =>
      this.#deps.log.error({ error: wordsOf(error) }, 'something failed in the background')
    )
  }
}
