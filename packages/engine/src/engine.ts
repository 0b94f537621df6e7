import { type Deployment, type DeploymentRequest, type Device, type ResultFrame, SkerryError } from '@skerry/contracts'
import { countByState, type JobRow, type Submitted } from '@skerry/registry'
import type { OperatorSupport } from '@skerry/scheduler'
import { DeploymentReconciler } from './deployments/reconciler.ts'
import { DeviceConfigs } from './devices/device-configs.ts'
import { DeviceDiagnostics } from './devices/device-diagnostics.ts'
import { DeviceKeys } from './devices/device-keys.ts'
import { Fleet } from './devices/fleet.ts'
import { Sessions } from './devices/sessions.ts'
import { Completion } from './jobs/completion.ts'
import { Dispatcher, deploymentPool, type WorkPayload } from './jobs/dispatcher.ts'
import { Outbox } from './jobs/outbox.ts'
import { Submission } from './jobs/submission.ts'
import { Sweeper } from './jobs/sweeper.ts'
import { JobView } from './jobs/view.ts'
import { JobWaiters } from './jobs/waiters.ts'
import { LatencyStore } from './latency.ts'
import { ManifestSigner } from './manifest-signer.ts'
import { Conversions } from './models/conversions.ts'
import { Sources } from './models/sources.ts'
import type { EngineResources } from './resources.ts'
import { RuntimeLibraries } from './runtime-libraries.ts'

/** The lifecycles, wired: what the control plane's routes and sockets call. */
export class Engine {
  readonly resources: EngineResources
  readonly signer: ManifestSigner
  readonly submission: Submission
  readonly jobs: JobView
  readonly conversions: Conversions
  readonly sources: Sources
  readonly latency: LatencyStore
  readonly sessions: Sessions
  readonly runtimeLibraries: RuntimeLibraries
  readonly deviceConfigs: DeviceConfigs
  readonly deviceDiagnostics: DeviceDiagnostics
  readonly deviceKeys: DeviceKeys
  readonly #fleet = new Fleet()
  readonly #dispatcher: Dispatcher
  readonly #outbox: Outbox
  readonly #reconciler: DeploymentReconciler
  readonly #sweeper: Sweeper

  private constructor(resources: EngineResources, signer: ManifestSigner, support: OperatorSupport) {
    this.resources = resources
    this.signer = signer
    const fleet = this.#fleet
    const waiters = new JobWaiters()
    const dispatcher = new Dispatcher(resources, fleet)
    this.#dispatcher = dispatcher
    this.#outbox = new Outbox(resources, (pool) => dispatcher.wake(pool))
    this.submission = new Submission(resources, this.#outbox)
    this.jobs = new JobView(resources, waiters)
    this.conversions = new Conversions(resources, this.submission, signer)
    this.sources = new Sources(resources)
    this.latency = new LatencyStore(resources)
    const reconciler = new DeploymentReconciler(resources, { fleet, dispatcher, submission: this.submission, support })
    this.#reconciler = reconciler
    const completion = new Completion(resources, this.#outbox, waiters, dispatcher.inFlight, {
      conversion: (row, frame) => this.conversions.store(row, frame),
      benchmark: (row, frame) => this.#onBenchmark(row, frame),
      ended: (row) => this.#onEnded(row)
    })
    this.runtimeLibraries = new RuntimeLibraries(resources.blobs, signer)
    this.deviceConfigs = new DeviceConfigs(resources, fleet)
    this.deviceDiagnostics = new DeviceDiagnostics(resources, fleet)
    this.deviceKeys = new DeviceKeys(resources, fleet)
    this.sessions = new Sessions(resources, {
      fleet,
      dispatcher,
      completion,
      reconciler,
      latency: this.latency,
      configs: this.deviceConfigs,
      diagnostics: this.deviceDiagnostics,
      signer
    })
    this.#sweeper = new Sweeper(resources, fleet, dispatcher, completion, this.#outbox)
    resources.metrics.beforeRender(() => this.#gauges())
  }

  /** `support` says which operators a runtime knows. */
  static async open(resources: EngineResources, support: OperatorSupport): Promise<Engine> {
    return new Engine(resources, await ManifestSigner.open(resources.registry), support)
  }

  async start(): Promise<void> {
    await this.resources.registry.devices.closeAllSessions()
    await this.#sweeper.start()
    await this.#dispatcher.start()
    this.#reconciler.scheduleAll()
  }

  async stop(): Promise<void> {
    await this.#sweeper.stop()
    await this.#dispatcher.stop()
    await this.#reconciler.idle()
    await this.#outbox.idle()
  }

  cancelJob(id: string): Promise<boolean> {
    return this.#sweeper.cancel(id)
  }

  async createDeployment(request: DeploymentRequest): Promise<Deployment> {
    await this.resources.registry.models.getVersion(request.model, request.version)
    const deployment = await this.resources.registry.deployments.create(request)
    this.submission.forgetServing()
    this.#reconciler.schedule(deployment.name)
    return deployment
  }

  /** Ends the deployment's jobs, then the deployment; its devices drop the artifact. */
  async deleteDeployment(name: string): Promise<void> {
    const { devices } = await this.resources.registry.deployments.get(name)
    await this.resources.registry.deployments.delete(name)
    this.submission.forgetServing()
    await this.#sweeper.failJobsOf(name)
    this.#dispatcher.forgetPool(deploymentPool(name))
    await this.resources.queue.removePool(deploymentPool(name))
    for (const { device } of devices) {
      this.#fleet.get(device)?.ready.delete(name)
      await this.#reconciler.sendDesired(device)
    }
  }

  async setDeviceState(id: string, change: 'cordon' | 'uncordon' | 'drain' | 'revoke'): Promise<Device> {
    const device = await this.resources.registry.devices.setState(id, change)
    const session = this.#fleet.get(device.id)
    if (session !== undefined) {
      session.accepts = change === 'uncordon'
      if (change === 'revoke') {
        session.link.send({ type: 'refused', code: 'device-revoked', detail: 'An operator revoked this device' })
        session.link.close('revoked')
      }
    }
    if (change === 'uncordon') this.#dispatcher.wakeAll()
    return device
  }

  /** Times what the device serves (of one deployment, or the first), again: the newest figure decides between equals. */
  async benchmarkDevice(id: string, deployment: string | undefined): Promise<Submitted> {
    const device = await this.resources.registry.devices.get(id)
    const placed = device.models.find((model) => deployment === undefined || model.deployment === deployment)
    if (placed === undefined)
      throw new SkerryError('device-state', `Device ${device.name} serves nothing that could be benchmarked`)
    return this.#reconciler.submitBenchmark(device.id, placed.deployment, placed.variant)
  }

  /** Labels decide placements and dispatch, so both look again. */
  async deviceChanged(device: Device): Promise<void> {
    const session = this.#fleet.get(device.id)
    if (session !== undefined) session.labels = device.labels
    this.#reconciler.scheduleAll()
    this.#dispatcher.wakeAll()
  }

  async #onBenchmark(row: JobRow, frame: ResultFrame): Promise<void> {
    if (frame.benchmark === undefined || row.device_id === null) throw new Error('the result holds no benchmark')
    await this.resources.registry.measurements.storeBenchmark(row.device_id, frame.benchmark)
  }

  #onEnded({ id, kind, state }: { id: string; kind: string; state: string }): void {
    if (kind === 'conversion' && state === 'succeeded') this.#reconciler.scheduleAll()
    if (kind !== 'benchmark') return
    void this.#afterBenchmark(id, state).catch((error) =>
      this.resources.log.error({ err: error, job: id }, 'a benchmark could not be followed up')
    )
  }

  async #afterBenchmark(id: string, state: string): Promise<void> {
    if (state === 'failed') {
      const { rows } = await this.resources.registry.pool.query<JobRow>('SELECT * FROM jobs WHERE id = $1', [id])
      const row = rows[0]
      const work = row?.payload as Extract<WorkPayload, { kind: 'benchmark' }> | undefined
      if (row?.target_device_id && work !== undefined && row.error?.code !== 'deployment-deleted')
        this.#reconciler.benchmarkFailed(
          row.target_device_id,
          work.artifact,
          work.runtime,
          row.error?.message ?? 'unknown'
        )
    }
    this.#reconciler.scheduleAll()
  }

  async #gauges(): Promise<void> {
    const { metrics, registry } = this.resources
    metrics.websocketSessions.set(this.#fleet.size)
    metrics.devices.reset()
    for (const [state, count] of await registry.devices.countByState()) metrics.devices.set({ state }, count)
    metrics.jobsQueued.reset()
    for (const { kind, state, count } of await countByState(registry.pool))
      if (state === 'queued') metrics.jobsQueued.set({ kind }, count)
  }
}
