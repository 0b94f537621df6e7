import { CONVERSION_LEASE_MS, INFERENCE_LEASE_MS, OFFLINE_AFTER_MS } from '@skerry/contracts'
import { renewLeases } from '@skerry/registry'
import { RepeatingTasks } from '../repeating-tasks.ts'
import type { EngineResources } from '../resources.ts'
import type { Connections } from './connections.ts'

/** What each replica does for the devices whose sockets it holds: their jobs' leases, their health, and silence. */
export class Upkeep {
  readonly #resources: EngineResources
  readonly #connections: Connections
  readonly #tasks: RepeatingTasks

  constructor(resources: EngineResources, connections: Connections) {
    this.#resources = resources
    this.#connections = connections
    this.#tasks = new RepeatingTasks(resources.log)
  }

  start(): void {
    const { devices } = this.#resources.registry
    this.#tasks.every(2_000, () => devices.writeHealth(this.#connections.takeHealth()))
    this.#tasks.every(5_000, () => this.#renew())
  }

  stop(): Promise<void> {
    return this.#tasks.stop()
  }

  async #renew(): Promise<void> {
    const sinceMs = this.#resources.nowMs() - OFFLINE_AFTER_MS
    for (const { lastHeardAtMs, link } of this.#connections.all())
      if (lastHeardAtMs < sinceMs) link.close('nothing was heard from the device')
    const running = this.#connections.running(sinceMs)
    await renewLeases(this.#resources.registry.pool, running, INFERENCE_LEASE_MS, CONVERSION_LEASE_MS)
  }
}
