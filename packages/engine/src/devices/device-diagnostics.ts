import { type Diagnostics, type DiagnosticsFrame, SkerryError } from '@skerry/contracts'
import type { EngineResources } from '../resources.ts'
import type { Fleet, Session } from './fleet.ts'

/** Bundles of logs and state that devices gather when they are asked. */
export class DeviceDiagnostics {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(resources: EngineResources, fleet: Fleet) {
    this.#resources = resources
    this.#fleet = fleet
  }

  /** Throws `device-state` for a device that is away, or whose agent is too old. */
  async request(idOrName: string): Promise<Diagnostics> {
    const { registry } = this.#resources
    const device = await registry.devices.get(idOrName)
    const session = this.#fleet.get(device.id)
    if (session === undefined) throw new SkerryError('device-state', `Device ${device.name} is not connected`)
    if (device.facts.understands?.includes('diagnostics') !== true)
      throw new SkerryError('device-state', `The agent of ${device.name} is too old to gather diagnostics: update it`)
    const diagnostics = await registry.diagnostics.create(device.id)
    session.link.send({ type: 'diagnose', id: diagnostics.id })
    return diagnostics
  }

  /** Waits at most so long for an answer, where there is none yet. Throws `diagnostics-unknown`, also for another device's. */
  async get(idOrName: string, id: string, waitMs = 0): Promise<Diagnostics> {
    const { registry } = this.#resources
    const answered = this.#answered(id, waitMs)
    const { id: deviceId } = await registry.devices.get(idOrName)
    let diagnostics = await registry.diagnostics.get(id)
    if (diagnostics.device !== deviceId)
      throw new SkerryError('diagnostics-unknown', `There are no diagnostics ${id} of ${idOrName}`)
    if (diagnostics.state === 'gathering' && waitMs > 0) {
      await answered
      diagnostics = await registry.diagnostics.get(id)
    }
    return diagnostics
  }

  async onFrame({ deviceId, name }: Session, frame: DiagnosticsFrame): Promise<void> {
    const { registry, blobs, log } = this.#resources
    const stored = frame.blob === undefined ? null : await blobs.stat(frame.blob)
    const { type, id } = frame
    if (frame.blob !== undefined && stored === null)
      await registry.diagnostics.end(deviceId, { type, id, error: 'The device named a blob that it did not store.' })
    else await registry.diagnostics.end(deviceId, stored === null ? frame : { ...frame, bytes: stored.bytes })
    log.info({ device: name, diagnostics: id, bytes: stored?.bytes }, 'a device answered with diagnostics')
    for (const resolve of this.#waiting.get(id) ?? []) resolve()
  }

  #answered(id: string, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const listeners = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, listeners)
      const settle = () => {
        clearTimeout(timer)
        listeners.delete(settle)
        if (listeners.size === 0) this.#waiting.delete(id)
        resolve()
      }
      const timer = setTimeout(settle, waitMs)
      listeners.add(settle)
    })
  }
}
