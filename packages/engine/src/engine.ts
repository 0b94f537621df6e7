import { type Deployment, type DeploymentRequest, type Device, type ResultFrame, SkerryError } from '@skerry/contracts'
import { countByState, type Fence, findJob, type JobRow, type Submitted } from '@skerry/registry'
import type { OperatorSupport, ScoreWeights } from '@skerry/scheduler'
import { ActiveScheduler } from './cluster/active-scheduler.ts'
import { Cluster } from './cluster/cluster.ts'
import type { Forward } from './cluster/holder-link.ts'
import { Benchmarks } from './deployments/benchmarks.ts'
import { DeploymentReconciler } from './deployments/reconciler.ts'
import { Connections } from './devices/connections.ts'
import { DeviceConfigs } from './devices/device-configs.ts'
import { DeviceDiagnostics } from './devices/device-diagnostics.ts'
import { DeviceKeys } from './devices/device-keys.ts'
import { Fleet } from './devices/fleet.ts'
import { PlacementReports } from './devices/placement-reports.ts'
import { Sessions } from './devices/sessions.ts'
import { Upkeep } from './devices/upkeep.ts'
import { Backpressure } from './jobs/backpressure.ts'
import { Completion } from './jobs/completion.ts'
import { Dispatcher } from './jobs/dispatcher.ts'
import { EarlyEnds } from './jobs/early-ends.ts'
import { Outbox } from './jobs/outbox.ts'
import { deploymentPool } from './jobs/pools.ts'
import { ServingModels } from './jobs/serving.ts'
import { Submission } from './jobs/submission.ts'
import { Sweeper } from './jobs/sweeper.ts'
import { JobView } from './jobs/view.ts'
import { Waiters } from './jobs/waiters.ts'
import { LatencyStore } from './latency.ts'
import { ManifestSigner } from './manifest-signer.ts'
import { Conversions } from './models/conversions.ts'
import { Sources } from './models/sources.ts'
import { Plans } from './plans/plans.ts'
import type { EngineResources } from './resources.ts'
import { RuntimeLibraries } from './runtime-libraries.ts'
import { Admission } from './scheduling/admission.ts'
import { questionsTo, SchedulingDesk } from './scheduling/desk.ts'
import { Explanations } from './scheduling/explanations.ts'
import { Placer } from './scheduling/placer.ts'
import { Seeds } from './scheduling/seeds.ts'
import { CallAccounts } from './synchronous/call-accounts.ts'
import { CallRuns } from './synchronous/call-runs.ts'
import { Calls } from './synchronous/calls.ts'

const MAX_QUEUED = 100_000

export type EngineOptions = {
  /** Jobs that wait in one pool at most; submitters are told to come later beyond it. */
  maxQueued?: number
  /** Bytes of tensors of synchronous calls that wait at this replica at most. */
  callBytes?: number
  /** Jobs of one pool that the scheduler holds in memory at most, to choose from; the others wait in BullMQ. */
  heldPerPool?: number
  /** How much each score counts when the scheduler decides. */
  weights?: ScoreWeights
}

/** The lifecycles, wired: what the control plane's routes and sockets call. */
export class Engine {
  readonly resources: EngineResources
  readonly signer: ManifestSigner
  readonly submission: Submission
  readonly serving: ServingModels
  readonly calls: Calls
  readonly jobs: JobView
  readonly scheduling: SchedulingDesk
  readonly conversions: Conversions
  readonly sources: Sources
  readonly latency: LatencyStore
  readonly sessions: Sessions
  readonly runtimeLibraries: RuntimeLibraries
  readonly deviceConfigs: DeviceConfigs
  readonly deviceDiagnostics: DeviceDiagnostics
  readonly deviceKeys: DeviceKeys
  readonly plans: Plans
  readonly cluster: Cluster
  readonly #support: OperatorSupport
  readonly #options: EngineOptions
  readonly #connections: Connections
  readonly #benchmarks: Benchmarks
  readonly #outbox: Outbox
  readonly #completion: Completion
  readonly #earlyEnds: EarlyEnds
  readonly #upkeep: Upkeep

  private constructor(
    resources: EngineResources,
    signer: ManifestSigner,
    support: OperatorSupport,
    options: EngineOptions
  ) {
    this.resources = resources
    this.signer = signer
    this.#support = support
    this.#options = options
    const waiters = new Waiters()
    const serving = new ServingModels(resources)
    this.serving = serving
    const connections = new Connections(resources.nowMs)
    this.#connections = connections
    const cluster = new Cluster(resources, {
      connections,
      scheduler: (fence) =>
        this.schedulerFor(fence, (to) => (message, body) => this.cluster.toHolder(to, message, body)),
      onEnded: (ids) => {
        for (const id of ids) waiters.ended(id)
      },
      onServingChanged: () => serving.forget(),
      onCalls: (message, body) => this.calls.onMessage(message, body)
    })
    this.cluster = cluster
    this.#outbox = new Outbox(resources, (pool) => cluster.tell({ type: 'wake', pools: [pool] }))
    this.scheduling = new SchedulingDesk(resources, cluster)
    const backpressure = new Backpressure(resources, options.maxQueued ?? MAX_QUEUED)
    const gates = [backpressure, new Admission(this.scheduling)]
    this.submission = new Submission(resources, this.#outbox, serving, gates)
    this.calls = new Calls(resources, {
      ...{ cluster, serving, gates },
      desk: this.scheduling,
      accounts: new CallAccounts(resources),
      ...(options.callBytes === undefined ? {} : { maxBytes: options.callBytes }),
      ended: () => backpressure.noteEnded()
    })
    this.jobs = new JobView(resources, waiters)
    this.conversions = new Conversions(resources, this.submission, serving, signer)
    this.sources = new Sources(resources)
    this.latency = new LatencyStore(resources)
    this.plans = new Plans(resources, support)
    this.#benchmarks = new Benchmarks(resources, this.submission)
    this.#completion = new Completion(resources, this.#outbox, connections, {
      conversion: (row, frame) => this.conversions.store(row, frame),
      benchmark: (row, frame) => this.#onBenchmark(row, frame),
      ended: (row) => {
        backpressure.noteEnded()
        this.#onEnded(row)
      }
    })
    this.#earlyEnds = new EarlyEnds(resources, this.#completion, cluster)
    this.runtimeLibraries = new RuntimeLibraries(resources.blobs, signer)
    this.deviceConfigs = new DeviceConfigs(resources, cluster)
    this.deviceDiagnostics = new DeviceDiagnostics(resources, cluster, waiters)
    this.deviceKeys = new DeviceKeys(resources, cluster)
    this.sessions = new Sessions(resources, {
      connections,
      cluster,
      completion: this.#completion,
      placements: new PlacementReports(resources, cluster),
      latency: this.latency,
      configs: this.deviceConfigs,
      diagnostics: this.deviceDiagnostics,
      signer
    })
    this.#upkeep = new Upkeep(resources, connections)
    resources.metrics.beforeRender(() => this.#gauges())
  }

  /** `support` says which operators a runtime knows. */
  static async open(
    resources: EngineResources,
    support: OperatorSupport,
    options: EngineOptions = {}
  ): Promise<Engine> {
    return new Engine(resources, await ManifestSigner.open(resources.registry), support, options)
  }

  async start(): Promise<void> {
    await this.resources.registry.devices.closeAllSessions()
    this.#upkeep.start()
    await this.cluster.start()
    this.calls.start()
  }

  /** Leaves scheduling to another replica; the devices that are connected here still are. */
  standDown(): Promise<void> {
    return this.cluster.standDown()
  }

  async stop(): Promise<void> {
    await this.calls.stop()
    await this.standDown()
    await this.#upkeep.stop()
    await this.#outbox.idle()
    await this.cluster.stop()
  }

  /** All that only the replica that schedules has, made anew for each term; `forwardTo` is the way to a replica. */
  schedulerFor(fence: Fence, forwardTo: (replica: string) => Forward): ActiveScheduler {
    const { resources } = this
    const fleet = new Fleet()
    const { heldPerPool, weights } = this.#options
    const placer = new Placer({
      support: this.#support,
      metrics: resources.metrics,
      nowMs: resources.nowMs,
      ...(heldPerPool === undefined ? {} : { poolRoom: heldPerPool }),
      ...(weights === undefined ? {} : { weights })
    })
    const explanations = new Explanations(resources, fleet, placer)
    const calls = new CallRuns(resources, {
      onLost: (origin, lost, reason) => this.cluster.toOrigin(origin, { type: 'calls-lost', calls: lost, reason }),
      pendingHere: (id) => this.calls.pending(id)
    })
    const dispatcher = new Dispatcher(resources, {
      ...{ fleet, placer, calls },
      measure: ({ deviceId, deployment, variant }) => this.#benchmarks.submit(deviceId, deployment, variant)
    })
    const reconciler = new DeploymentReconciler(resources, {
      fleet,
      benchmarks: this.#benchmarks,
      support: this.#support
    })
    const sweeper = new Sweeper(resources, {
      fleet,
      dispatcher,
      completion: this.#completion,
      outbox: this.#outbox,
      earlyEnds: this.#earlyEnds,
      explanations
    })
    const seeds = new Seeds(resources, placer)
    const questions = questionsTo(placer, explanations, dispatcher)
    return new ActiveScheduler(resources, fence, {
      ...{ fleet, dispatcher, reconciler, sweeper },
      ...{ seeds, forwardTo, questions }
    })
  }

  cancelJob(id: string): Promise<boolean> {
    return this.#earlyEnds.cancel(id)
  }

  async createDeployment(request: DeploymentRequest): Promise<Deployment> {
    await this.resources.registry.models.getVersion(request.model, request.version)
    const deployment = await this.resources.registry.deployments.create(request)
    this.#servingChanged()
    this.cluster.tell({ type: 'reconcile', deployment: deployment.name })
    return deployment
  }

  /** Ends the deployment's jobs, then the deployment; its devices drop the artifact. */
  async deleteDeployment(name: string): Promise<void> {
    const { devices } = await this.resources.registry.deployments.get(name)
    await this.resources.registry.deployments.delete(name)
    this.#servingChanged()
    await this.#earlyEnds.failJobsOf(name)
    const placed = devices.map(({ device }) => device)
    this.cluster.tell({ type: 'deployment-deleted', deployment: name, devices: placed })
    await this.resources.queue.removePool(deploymentPool(name))
  }

  async setDeviceState(id: string, change: 'cordon' | 'uncordon' | 'drain' | 'revoke'): Promise<Device> {
    const device = await this.resources.registry.devices.setState(id, change)
    await this.#heed(device.id)
    return device
  }

  /** Times what the device serves (of one deployment, or the first), again: the newest figure decides between equals. */
  async benchmarkDevice(id: string, deployment: string | undefined): Promise<Submitted> {
    const device = await this.resources.registry.devices.get(id)
    const placed = device.models.find((model) => deployment === undefined || model.deployment === deployment)
    if (placed === undefined)
      throw new SkerryError('device-state', `Device ${device.name} serves nothing that could be benchmarked`)
    return this.#benchmarks.submit(device.id, placed.deployment, placed.variant)
  }

  /** Labels decide placements and dispatch, so both look again. */
  async deviceChanged(device: Device): Promise<void> {
    await this.#heed(device.id)
    this.#reconcileDevice(device.id)
  }

  /** Resolves once the scheduler goes by what Postgres says of the device now. A scheduler that begins later does anyway. */
  async #heed(deviceId: string): Promise<void> {
    await this.cluster
      .ask('device-changed', deviceId)
      .catch((error) => this.resources.log.warn({ err: error, device: deviceId }, 'the scheduler was not told at once'))
  }

  #servingChanged(): void {
    this.serving.forget()
    this.cluster.broadcast({ type: 'serving-changed' })
  }

  async #onBenchmark(row: JobRow, frame: ResultFrame): Promise<void> {
    if (frame.benchmark === undefined || row.device_id === null) throw new Error('the result holds no benchmark')
    await this.resources.registry.measurements.storeBenchmark(row.device_id, frame.benchmark)
  }

  #onEnded({ id, kind, state }: { id: string; kind: string; state: string }): void {
    this.cluster.ended(id)
    if (kind === 'conversion' && state === 'succeeded') this.#reconcile()
    if (kind !== 'benchmark') return
    void this.#afterBenchmark(id).catch((error) =>
      this.resources.log.error({ err: error, job: id }, 'a benchmark could not be followed up')
    )
  }

  async #afterBenchmark(id: string): Promise<void> {
    const row = await findJob(this.resources.registry.pool, id)
    if (row !== null && row.target_device_id !== null) this.#reconcileDevice(row.target_device_id)
  }

  #reconcileDevice(deviceId: string): void {
    this.cluster.tell({ type: 'reconcile-devices', devices: [deviceId] })
  }

  #reconcile(): void {
    this.cluster.tell({ type: 'reconcile', deployment: null })
  }

  async #gauges(): Promise<void> {
    const { metrics, registry } = this.resources
    metrics.websocketSessions.set(this.#connections.size)
    metrics.schedulerTerm.set(this.cluster.term)
    metrics.callsWaiting.set(this.calls.waiting)
    metrics.devices.reset()
    for (const [state, count] of await registry.devices.countByState()) metrics.devices.set({ state }, count)
    metrics.jobsQueued.reset()
    for (const { kind, state, count } of await countByState(registry.pool))
      if (state === 'queued') metrics.jobsQueued.set({ kind }, count)
  }
}
