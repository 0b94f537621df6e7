import type { DeviceHealth } from '@skerry/contracts'
import type { ArtifactCache } from '../artifact-cache.ts'
import type { AgentSettings } from '../config.ts'
import type { Hello } from '../connection.ts'
import type { Identity } from '../identity.ts'
import type { JobDesk } from '../job-desk.ts'
import type { Journal } from '../journal.ts'
import type { Lane } from '../lane.ts'
import type { Reconciler } from '../reconciler.ts'
import type { LiveConfig } from '../remote/live-config.ts'
import type { Situation } from './bundle.ts'
import type { RecentLog } from './recent-log.ts'

export type SituationParts = {
  identity: Identity
  settings: AgentSettings
  live: LiveConfig
  reconciler: Reconciler
  desk: JobDesk
  journal: Journal
  lane: Lane
  cache: ArtifactCache
  recentLog: RecentLog | undefined
  httpToken: () => string | null
  versionsOf: (runtime: Hello['facts']['runtimes'][number]['name']) => Promise<unknown>
  now: () => number
}

/** An hour of heartbeats. */
const HEALTH_READINGS = 360

/** Looks at the parts of a running agent when diagnostics are asked for, and remembers its health in between. */
export class SituationReader {
  readonly #parts: SituationParts
  readonly #health: DeviceHealth[] = []
  readonly #startedAtMs: number

  constructor(parts: SituationParts) {
    this.#parts = parts
    this.#startedAtMs = parts.now()
  }

  noteHealth(health: DeviceHealth): void {
    this.#health.push(health)
    if (this.#health.length > HEALTH_READINGS) this.#health.shift()
  }

  async read({ facts, slots }: Hello): Promise<Situation> {
    const { identity, settings, live, reconciler, desk, journal, lane, cache, recentLog, now } = this.#parts
    const sizes = cache.sizes()
    const versions: Record<string, unknown> = { agent: facts.agentVersion, os: facts.os }
    for (const { name } of facts.runtimes) versions[name] = await this.#parts.versionsOf(name)
    const journalEntries = journal.refs().length
    return {
      device: { id: identity.deviceId, name: identity.name },
      settings,
      config: live.report(),
      facts,
      slots,
      versions,
      placements: reconciler.placements(),
      work: {
        journalEntries,
        journalBytes: journal.bytes,
        journalDropped: journal.dropped,
        held: desk.holding().length - journalEntries,
        waiting: lane.waiting(),
        cachedFiles: sizes.size,
        cachedBytes: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0)
      },
      health: this.#health,
      recentLog,
      secrets: [
        settings.token ?? '',
        this.#parts.httpToken() ?? '',
        identity.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64')
      ],
      startedAtMs: this.#startedAtMs,
      nowMs: now()
    }
  }
}
