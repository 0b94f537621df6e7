import type { Explanation } from '@skerry/contracts'
import { type DeviceSnapshot, explain } from '@skerry/scheduler'
import type { Fleet } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Placer } from './placer.ts'
import { absentSnapshot, snapshotOf } from './snapshots.ts'
import { slotOf, type Terms, workRequest } from './work.ts'

/** Why a job is where it is, over all devices that are enrolled, by what is known of them now. */
export class Explanations {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #placer: Placer

  constructor(resources: EngineResources, fleet: Fleet, placer: Placer) {
    this.#resources = resources
    this.#fleet = fleet
    this.#placer = placer
  }

  /** `chosen`: the device that it went to, or null; `leftMs` until its deadline, null without one. */
  async of(terms: Terms, chosen: string | null, leftMs: number | null): Promise<Explanation> {
    const { registry } = this.#resources
    const [records, placements] = await Promise.all([
      registry.devices.allRecords(),
      terms.deployment === null ? [] : registry.deployments.placements(terms.deployment)
    ])
    const placementOf = new Map(placements.map(({ device, state, reason }) => [device, { state, ...reasonOf(reason) }]))
    const names = new Map(records.map(({ id, name }) => [id, name]))
    const slot = slotOf(terms.kind)
    const snapshots = records.map((record): DeviceSnapshot => {
      const placement = placementOf.get(record.id)
      const known = new Map(placement === undefined ? [] : [[terms.deployment ?? '', placement]])
      const session = this.#fleet.get(record.id)
      return session === undefined ? absentSnapshot(record, known) : snapshotOf(session, slot, known)
    })
    const explanation = explain(
      workRequest(terms),
      snapshots,
      this.#placer.contextFor(terms, leftMs ?? Number.POSITIVE_INFINITY),
      chosen
    )
    const name = chosen === null ? undefined : names.get(chosen)
    if (chosen === null || name === undefined) return explanation
    return { ...explanation, summary: explanation.summary.replace(chosen, name) }
  }
}

const reasonOf = (reason: string | null | undefined) => (reason === null || reason === undefined ? {} : { reason })
