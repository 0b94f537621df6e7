import { type Diagnostics, type DiagnosticsFrame, SkerryError } from '@skerry/contracts'
import type { Cluster } from '../cluster/cluster.ts'
import type { Waiters } from '../jobs/waiters.ts'
import type { EngineResources } from '../resources.ts'
import type { Connection } from './connections.ts'

/** Bundles of logs and state that devices gather when they are asked. */
export class DeviceDiagnostics {
  readonly #resources: EngineResources
  readonly #cluster: Cluster
  readonly #waiters: Waiters

  constructor(resources: EngineResources, cluster: Cluster, waiters: Waiters) {
    this.#resources = resources
    this.#cluster = cluster
    this.#waiters = waiters
  }

  /** Throws `device-state` for a device that is away, or whose agent is too old. */
  async request(idOrName: string): Promise<Diagnostics> {
    const { registry } = this.#resources
    const device = await registry.devices.get(idOrName)
    const away = () => new SkerryError('device-state', `Device ${device.name} is not connected`)
    if ((await registry.devices.holder(device.id)) === null) throw away()
    if (device.facts.understands?.includes('diagnostics') !== true)
      throw new SkerryError('device-state', `The agent of ${device.name} is too old to gather diagnostics: update it`)
    const diagnostics = await registry.diagnostics.create(device.id)
    const frame = { type: 'diagnose' as const, id: diagnostics.id }
    const sent = await this.#cluster.toDevice(device.id, { type: 'device-frame', deviceId: device.id, frame })
    if (!sent) throw away()
    return diagnostics
  }

  /** Waits at most so long for an answer, where there is none yet. Throws `diagnostics-unknown`, also for another device's. */
  async get(idOrName: string, id: string, waitMs = 0): Promise<Diagnostics> {
    const { registry } = this.#resources
    const waiter = this.#waiters.wait(id, waitMs)
    try {
      const { id: deviceId } = await registry.devices.get(idOrName)
      let diagnostics = await registry.diagnostics.get(id)
      if (diagnostics.device !== deviceId)
        throw new SkerryError('diagnostics-unknown', `There are no diagnostics ${id} of ${idOrName}`)
      if (diagnostics.state === 'gathering' && waitMs > 0) {
        await waiter.done
        diagnostics = await registry.diagnostics.get(id)
      }
      return diagnostics
    } finally {
      waiter.stop()
    }
  }

  async onFrame({ deviceId, name }: Connection, frame: DiagnosticsFrame): Promise<void> {
    const { registry, blobs, log } = this.#resources
    const stored = frame.blob === undefined ? null : await blobs.stat(frame.blob)
    const { type, id } = frame
    if (frame.blob !== undefined && stored === null)
      await registry.diagnostics.end(deviceId, { type, id, error: 'The device named a blob that it did not store.' })
    else await registry.diagnostics.end(deviceId, stored === null ? frame : { ...frame, bytes: stored.bytes })
    log.info({ device: name, diagnostics: id, bytes: stored?.bytes }, 'a device answered with diagnostics')
    this.#cluster.ended(id)
  }
}
