import { type Explanation, SkerryError } from '@skerry/contracts'
import type { JobRow } from '@skerry/registry'
import type { AdmissionCandidate } from '@skerry/scheduler'
import type { Questions } from '../cluster/active-scheduler.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { Dispatcher } from '../jobs/dispatcher.ts'
import type { EngineResources } from '../resources.ts'
import type { Explanations } from './explanations.ts'
import type { Placer } from './placer.ts'
import type { Terms } from './work.ts'

export type Outlook = AdmissionCandidate[] | 'unknown'
type OutlookQuestion = { terms: Terms & { pool: string; priority: number }; ttlMs: number }
type ExplainQuestion = { terms: Terms; chosen: string | null; leftMs: number | null }

/** What the replica that schedules answers to the desks of all. */
export const questionsTo = (placer: Placer, explanations: Explanations, dispatcher: Dispatcher): Questions => ({
  outlook: async (payload) => {
    const { terms, ttlMs } = payload as OutlookQuestion
    return placer.outlook(terms, ttlMs)
  },
  explain: async (payload) => {
    const { terms, chosen, leftMs } = payload as ExplainQuestion
    return explanations.of(terms, chosen, leftMs)
  },
  summary: async (payload) => explanations.summary(payload as Terms),
  'calls-held': async (payload) => (payload as string[]).filter((key) => dispatcher.holdsCall(key))
})

/** Where any replica asks how jobs stand with the scheduler. */
export class SchedulingDesk {
  readonly #resources: EngineResources
  readonly #cluster: Cluster

  constructor(resources: EngineResources, cluster: Cluster) {
    this.#resources = resources
    this.#cluster = cluster
  }

  /** What a job would meet if it came now; `unknown` also while nobody schedules. */
  async outlook(terms: OutlookQuestion['terms'], ttlMs: number): Promise<Outlook> {
    try {
      return (await this.#cluster.ask('outlook', { terms: termsOf(terms), ttlMs } satisfies OutlookQuestion)) as Outlook
    } catch (error) {
      this.#resources.log.warn({ err: error }, 'a deadline could not be judged; the job is taken')
      return 'unknown'
    }
  }

  /** What stands in the way of work with these terms now, by a deadline. Throws `unavailable` while nobody schedules. */
  async explain(terms: Terms, chosen: string | null, leftMs: number | null): Promise<Explanation> {
    const question: ExplainQuestion = { terms: termsOf(terms), chosen, leftMs }
    try {
      return (await this.#cluster.ask('explain', question)) as Explanation
    } catch (cause) {
      const detail = 'No replica schedules at this moment, or the one that does is busy: try again in a few seconds'
      throw new SkerryError('unavailable', detail, { cause })
    }
  }

  /** The same in a sentence, to be told beside a refusal; null where it cannot be had at once. */
  async summary(terms: Terms): Promise<string | null> {
    return (await this.#cluster.ask('summary', termsOf(terms)).catch(() => null)) as string | null
  }

  /** Why a job is where it is; what was kept when it ended, else by what is known now. */
  async explainJob(row: JobRow): Promise<Explanation> {
    if (row.explanation !== null) return row.explanation
    const isDue = row.state === 'queued' && row.terms.deadline === true
    const leftMs = isDue ? Math.max(0, row.expires_at.getTime() - this.#resources.nowMs()) : null
    return this.explain(row, row.device_id ?? row.attempts.at(-1)?.device ?? null, leftMs)
  }
}

/** Nothing of the tensors travels. */
function termsOf<T extends Terms & { pool?: string; priority?: number }>(terms: T): T {
  const { id, kind, model, deployment, target_device_id, selector, terms: own, pool, priority } = terms
  return { id, kind, model, deployment, target_device_id, selector, terms: own, pool, priority } as T
}
