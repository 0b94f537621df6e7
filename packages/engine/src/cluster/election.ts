import type { Fence } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'

export const LEASE_MS = 5_000
const TICK_MS = 1_000
/** More domains, for example one for each site, are the way past one scheduler. */
const DOMAIN = 'default'

export type ElectionEvents = {
  elected: (fence: Fence) => Promise<void>
  /** Resolves once nothing of that term acts any more. */
  deposed: (fence: Fence) => Promise<void>
  /** Another replica holds the lease. */
  learned: (fence: Fence) => void
}

/** Holds the scheduler's lease, or waits for it. What is done under a lease that ran out is refused by its fence. */
export class Election {
  readonly #resources: EngineResources
  readonly #events: ElectionEvents
  #fence: Fence | null = null
  #timer: NodeJS.Timeout | undefined
  #ticking: Promise<void> | null = null
  #beginning: Promise<void> | null = null
  #stopped = false

  constructor(resources: EngineResources, events: ElectionEvents) {
    this.#resources = resources
    this.#events = events
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => this.hurry(), TICK_MS)
    this.#ticking = this.#tick().finally(() => {
      this.#ticking = null
    })
    await this.#ticking
    await this.#beginning
  }

  /** Looks at the lease now: it may be free. */
  hurry(): void {
    if (this.#stopped) return
    this.#ticking ??= this.#tick()
      .catch((error) => this.#resources.log.error({ err: error }, 'the lease could not be looked at; trying again'))
      .finally(() => {
        this.#ticking = null
      })
  }

  /** Gives the lease up, so that another replica takes it at once. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#ticking
    if (this.#fence === null) return
    await this.#events.deposed(this.#fence)
    await this.#resources.registry.replicas.releaseLease(this.#fence)
    this.#fence = null
    this.#resources.bus.broadcast({ type: 'vacant' })
  }

  async #tick(): Promise<void> {
    const { replicas } = this.#resources.registry
    if (this.#fence !== null) {
      if (await replicas.renewLease(this.#fence, LEASE_MS)) return
      this.#resources.log.warn({ term: this.#fence.term }, 'the lease for scheduling ran out')
      const lost = this.#fence
      this.#fence = null
      await this.#events.deposed(lost)
    }
    if (this.#stopped) return
    const found = await replicas.acquireLease(DOMAIN, this.#resources.bus.id, LEASE_MS)
    if (found === null) return
    if (!found.mine) return this.#events.learned(found.fence)
    this.#fence = found.fence
    // Taking over may outlast the lease, so renewing goes on meanwhile.
    this.#beginning = this.#begin(found.fence)
  }

  async #begin(fence: Fence): Promise<void> {
    try {
      await this.#events.elected(fence)
    } catch (error) {
      this.#resources.log.error({ err: error, term: fence.term }, 'scheduling could not begin; trying again')
      if (this.#fence?.term === fence.term) this.#fence = null
      await this.#events.deposed(fence)
      await this.#resources.registry.replicas.releaseLease(fence).catch(() => undefined)
    }
  }
}
