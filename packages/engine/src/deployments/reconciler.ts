import type { Variant } from '@skerry/contracts'
import type { DeploymentTerms, DeviceRecord, KnownPlacement } from '@skerry/registry'
import type { OperatorSupport } from '@skerry/scheduler'
import { Batcher } from '../batcher.ts'
import type { Fleet } from '../devices/fleet.ts'
import { Paced } from '../paced.ts'
import type { EngineResources } from '../resources.ts'
import { takeFirst } from '../take-first.ts'
import type { Benchmarks, Timings } from './benchmarks.ts'
import { desiredFor } from './desired.ts'
import { Measured, PlacementChoices } from './placement-choices.ts'
import { asksMore, RequirementPlacement } from './requirement-placement.ts'
import { isPlacedSo, takes } from './terms.ts'

/** A decision older than this was in Postgres before the device's connection was made. */
const SETTLED_AFTER_MS = 10_000
/** Devices of one turn: what is asked of Postgres is asked for all of them at once. */
const AT_ONCE = 200
const ALL = '*'
const RETRY_MS = 1_000

type Placed = ReadonlyMap<string, ReadonlyMap<string, KnownPlacement>>
/** Devices of one turn with what is known of them. */
type Turn = { records: DeviceRecord[]; placed: Placed; timings: Timings }

/**
 * Brings each deployment's placements to what its variants, its devices and their measurements say now.
 *
 *   per device:  ineligible (why)
 *                pending: equally accurate variants are being timed there (benchmark jobs)
 *                pending -> fetching -> verifying -> loading -> checking -> ready | failed     (the device reports)
 *
 * What happens to a device is followed for that device alone, however many there are. Passes over all devices follow what
 * changes a deployment, and what one device tells of others: under requirements, a benchmark there is a prediction here.
 */
export class DeploymentReconciler {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #support: OperatorSupport
  readonly #benchmarks: Benchmarks
  readonly #choices: PlacementChoices
  /** When what a device should load was last read to be sent, the longest ago first. */
  readonly #desiredAtMs = new Map<string, number>()
  readonly #passes: Paced
  readonly #phases: Paced
  readonly #resend: Batcher<string, undefined>
  /** With whether what decides about them changed. */
  readonly #devices = new Map<string, boolean>()
  readonly #retries = new Set<NodeJS.Timeout>()
  #following: Promise<void> | null = null
  /** Only one thing at a time decides about a device, so that nothing is timed there twice. */
  #lane: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(resources: EngineResources, parts: { fleet: Fleet; benchmarks: Benchmarks; support: OperatorSupport }) {
    this.#resources = resources
    this.#fleet = parts.fleet
    this.#support = parts.support
    this.#benchmarks = parts.benchmarks
    this.#choices = new PlacementChoices(parts.benchmarks, parts.support)
    this.#passes = new Paced((due) => this.#inLane(() => this.#pass(new Set(due))), resources.nowMs)
    this.#phases = new Paced((due) => this.#updatePhases(due), resources.nowMs)
    this.#resend = new Batcher(async (ids) => {
      await this.sendDesired(ids)
      return ids.map(() => undefined)
    })
  }

  /** Reconciles this deployment soon; calls in between are joined. */
  schedule(deployment: string): void {
    this.#passes.hurry(deployment)
  }

  scheduleAll(): void {
    this.#passes.add(ALL)
  }

  /** Reconciles all deployments on these devices soon. `changed`: they are not what they were when it was last done. */
  scheduleDevices(deviceIds: readonly string[], changed: boolean): void {
    if (this.#stopped) return
    for (const id of deviceIds) this.#devices.set(id, changed || (this.#devices.get(id) ?? false))
    this.#following ??= this.#inLane(() => this.#followDevices()).finally(() => {
      this.#following = null
      if (this.#devices.size > 0) this.scheduleDevices([], false)
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#retries) clearTimeout(timer)
    await Promise.all([this.#passes.stop(), this.#phases.stop(), this.#following, this.#lane])
  }

  #inLane(task: () => Promise<void>): Promise<void> {
    const run = this.#lane
      .then(task)
      .catch((error) => this.#resources.log.error({ err: error }, 'a deployment could not be reconciled'))
    this.#lane = run
    return run
  }

  async #followDevices(): Promise<void> {
    while (this.#devices.size > 0 && !this.#stopped) {
      const turn = takeFirst(this.#devices, AT_ONCE)
      await this.#follow(turn).catch((error) => this.#tryAgain(turn, error))
    }
  }

  /** Nothing else may ever happen to these devices that would have it done. */
  #tryAgain(devices: ReadonlyMap<string, boolean>, error: unknown): void {
    this.#resources.log.error(
      { err: error, devices: devices.size },
      'devices could not be placed; trying again shortly'
    )
    const timer = setTimeout(() => {
      this.#retries.delete(timer)
      for (const [id, changed] of devices) this.scheduleDevices([id], changed)
    }, RETRY_MS)
    this.#retries.add(timer)
  }

  async #follow(devices: ReadonlyMap<string, boolean>): Promise<void> {
    const { registry } = this.#resources
    const deployments = await registry.deployments.terms()
    if (deployments.length === 0) return
    const turn = await this.#turnOf(
      (await registry.devices.records([...devices.keys()])).filter((each) => !each.revoked)
    )
    const concerned = deployments.filter(({ name, ...terms }) =>
      turn.records.some((device) => takes(terms, device) || turn.placed.get(device.id)?.has(name) === true)
    )
    // What is known of all devices decides under requirements, so that it is read where it may say something else than before.
    const isOpen = (deployment: DeploymentTerms, device: DeviceRecord): boolean => {
      const placed = turn.placed.get(device.id)?.get(deployment.name)
      if (placed === undefined || !takes(deployment, device))
        return (placed !== undefined) !== takes(deployment, device)
      return devices.get(device.id) === true || (placed.artifact === null && placed.state === 'pending')
    }
    for (const deployment of concerned.filter(({ requirements }) => asksMore(requirements)))
      if (turn.records.some((device) => isOpen(deployment, device))) this.#passes.add(deployment.name)
    await this.#decide(
      concerned.filter(({ requirements }) => !asksMore(requirements)),
      turn
    )
  }

  async #pass(due: ReadonlySet<string>): Promise<void> {
    const { registry, nowMs } = this.#resources
    const deployments = await registry.deployments.terms(due.has(ALL) ? undefined : [...due])
    await this.#overAll((turn) =>
      this.#decide(
        deployments.filter(({ requirements }) => !asksMore(requirements)),
        turn
      )
    )
    for (const deployment of deployments.filter(({ requirements }) => asksMore(requirements))) {
      if (this.#stopped) return
      const variants = await registry.models.variants(deployment.model, deployment.version)
      const options = { nowMs: nowMs(), support: this.#support }
      const required = await RequirementPlacement.read(registry, deployment, variants, options)
      await this.#overAll(async (turn) => {
        // One that came after that was read follows by itself.
        const known = turn.records.filter((device) => !takes(deployment, device) || required.knows(device.id))
        await this.#sendDesired(await this.#place(deployment, variants, { ...turn, records: known }, { required }))
      })
    }
    for (const { name } of deployments) this.#phases.add(name)
  }

  async #overAll(each: (turn: Turn) => Promise<void>): Promise<void> {
    let after: string | null = null
    while (!this.#stopped) {
      const records: DeviceRecord[] = await this.#resources.registry.devices.recordsAfter(after, AT_ONCE)
      if (records.length > 0) await each(await this.#turnOf(records))
      if (records.length < AT_ONCE) return
      after = records.at(-1)?.id ?? null
    }
  }

  async #turnOf(records: DeviceRecord[]): Promise<Turn> {
    const ids = records.map(({ id }) => id)
    const [placements, timings] = await Promise.all([
      this.#resources.registry.placements.of(ids),
      this.#benchmarks.timingsOn(ids)
    ])
    return { records, placed: byDevice(placements), timings }
  }

  /** Deployments that ask no more than that a variant runs. */
  async #decide(deployments: readonly DeploymentTerms[], turn: Turn): Promise<void> {
    if (deployments.length === 0) return
    const { models, measurements } = this.#resources.registry
    const variantsOf = await models.variantsOf(deployments)
    const artifacts = new Set([...variantsOf.values()].flat().flatMap(({ sha256 }) => sha256 ?? []))
    const deviceIds = turn.records.map(({ id }) => id)
    const measured = new Measured(await measurements.measuredP50(deviceIds, [...artifacts]))
    const moved = new Set<string>()
    for (const deployment of deployments) {
      if (this.#stopped) return
      const variants = variantsOf.get(`${deployment.model} ${deployment.version}`) ?? []
      for (const id of await this.#place(deployment, variants, turn, { measured })) moved.add(id)
      this.#phases.add(deployment.name)
    }
    await this.#sendDesired(moved)
  }

  /** Answers the devices that should hold something else from now on. */
  async #place(
    deployment: DeploymentTerms,
    variants: readonly Variant[],
    { records, placed, timings }: Turn,
    by: { required: RequirementPlacement } | { measured: Measured }
  ): Promise<Set<string>> {
    const { placements } = this.#resources.registry
    const placementOf = (device: DeviceRecord) => placed.get(device.id)?.get(deployment.name)
    const gone = records.filter((device) => placementOf(device) !== undefined && !takes(deployment, device))
    const eligible = records.filter((device) => takes(deployment, device))
    const writes = (await this.#choices.of(deployment, variants, eligible, timings, by)).filter(
      (write) => !isPlacedSo(placed.get(write.deviceId)?.get(deployment.name), write)
    )
    await placements.remove(
      deployment.name,
      gone.map(({ id }) => id)
    )
    await placements.write(writes)
    const moved = new Set([...gone.map(({ id }) => id), ...writes.map(({ deviceId }) => deviceId)])
    for (const id of moved) this.#fleet.setReady(id, deployment.name, null)
    return moved
  }

  /** Tells those of the devices that are connected what they should hold. */
  async sendDesired(deviceIds: Iterable<string>): Promise<void> {
    const ids = [...deviceIds]
    for (let at = 0; at < ids.length && !this.#stopped; at += AT_ONCE) {
      const some = ids.slice(at, at + AT_ONCE)
      for (const id of some) {
        this.#desiredAtMs.delete(id)
        this.#desiredAtMs.set(id, this.#resources.nowMs())
      }
      const desired = await desiredFor(this.#resources.registry, some)
      for (const id of some) this.#fleet.get(id)?.link.send({ type: 'desired', artifacts: desired.get(id) ?? [] })
    }
    this.#forgetSettled()
  }

  async #sendDesired(deviceIds: ReadonlySet<string>): Promise<void> {
    if (deviceIds.size > 0) await this.sendDesired(deviceIds)
  }

  #forgetSettled(): void {
    const nowMs = this.#resources.nowMs()
    for (const [id, atMs] of this.#desiredAtMs) {
      if (nowMs - atMs <= SETTLED_AFTER_MS) return
      this.#desiredAtMs.delete(id)
    }
  }

  /** Its replica read what the device should load; what was decided about then may have missed both. */
  connected(deviceId: string, changed: boolean): void {
    this.#forgetSettled()
    if (this.#desiredAtMs.has(deviceId)) void this.#resend.submit(deviceId).catch(this.#failed)
    this.scheduleDevices([deviceId], changed)
  }

  /** Holds what replicas say of devices against Postgres: what an earlier scheduler wrote may not have reached them. */
  async verify(deviceIds: readonly string[]): Promise<void> {
    const asked = [...new Set(deviceIds)]
    for (let at = 0; at < asked.length && !this.#stopped; at += AT_ONCE) {
      const some = asked.slice(at, at + AT_ONCE)
      const placed = byDevice(await this.#resources.registry.placements.of(some))
      await this.#sendDesired(new Set(some.filter((id) => !this.#isSettled(id, placed.get(id) ?? new Map()))))
    }
  }

  #isSettled(deviceId: string, placements: ReadonlyMap<string, KnownPlacement>): boolean {
    let settled = [...placements.values()].every(
      ({ artifact, state }) => artifact === null || state === 'ready' || state === 'failed'
    )
    for (const [deployment, { artifact, runtime }] of [...(this.#fleet.get(deviceId)?.ready ?? [])]) {
      const placement = placements.get(deployment)
      if (placement?.artifact === artifact && placement.runtime === runtime) continue
      this.#fleet.setReady(deviceId, deployment, null)
      settled = false
    }
    return settled
  }

  /** A device said something of an artifact of this deployment. */
  reported(deployment: string): void {
    this.#phases.add(deployment)
  }

  async #updatePhases(deployments: readonly string[]): Promise<void> {
    for (const name of deployments) await this.#resources.registry.placements.updatePhase(name).catch(this.#failed)
  }

  readonly #failed = (error: unknown): void =>
    this.#resources.log.error({ err: error }, 'a device could not be told what to load, or a phase was not written')
}

function byDevice(placements: readonly KnownPlacement[]): Map<string, Map<string, KnownPlacement>> {
  const by = new Map<string, Map<string, KnownPlacement>>()
  for (const placement of placements) {
    const own = by.get(placement.deviceId) ?? new Map<string, KnownPlacement>()
    by.set(placement.deviceId, own.set(placement.deployment, placement))
  }
  return by
}
