import type { Fetched, QueueEntry } from './job-queue.ts'

/** BullMQ's names for the two forms of what it carries. */
const SINGLE = 'job'
const BUNDLE = 'bundle'

/** What goes into BullMQ as one job of its own. */
export type Parcel = { name: string; key: string; priority: number; size: number; data: unknown }

type Bundled = { jobs: [id: string, epoch: number, data: unknown][] }

/** BullMQ refuses ':' in ids, and an id that was delivered once may be added again only under another name. */
export const entryKey = (id: string, epoch: number): string => `${id}-${epoch}`

/** Under which names an entry may be waiting. */
export const keysOf = ({ id, epoch, bundle }: QueueEntry): string[] =>
  bundle === undefined || bundle === null ? [entryKey(id, epoch)] : [entryKey(id, epoch), entryKey(bundle, epoch)]

/** Of one pool: entries of the same bundle, epoch and priority go together. */
export function parcelsOf(entries: readonly QueueEntry[]): Parcel[] {
  const parcels: Parcel[] = []
  const bundles = new Map<string, QueueEntry[]>()
  for (const entry of entries) {
    const { bundle = null, epoch, priority } = entry
    if (bundle === null) {
      parcels.push(single(entry))
      continue
    }
    const key = `${entryKey(bundle, epoch)} ${priority}`
    const known = bundles.get(key)
    if (known === undefined) bundles.set(key, [entry])
    else known.push(entry)
  }
  for (const members of bundles.values()) {
    const [first] = members
    if (first === undefined) continue
    if (members.length === 1) {
      parcels.push(single(first))
      continue
    }
    const { bundle, epoch, priority } = first
    const data: Bundled = { jobs: members.map((each) => [each.id, each.epoch, each.data ?? null]) }
    parcels.push({ name: BUNDLE, key: entryKey(bundle as string, epoch), priority, size: members.length, data })
  }
  return parcels
}

const single = ({ id, epoch, priority, data }: QueueEntry): Parcel => ({
  ...{ name: SINGLE, key: entryKey(id, epoch), priority, size: 1 },
  data: data ?? null
})

/** What a job of BullMQ's carries; of a bundle that somebody spoilt nothing: the sweep misses its rows. */
export function unpack({ name, id, data }: { name: string; id: string; data: unknown }): Fetched[] {
  if (name === BUNDLE) {
    const jobs = (data as Bundled | null)?.jobs
    return Array.isArray(jobs) ? jobs.map(([jobId, epoch, own]) => ({ id: jobId, epoch, data: own })) : []
  }
  const cut = id.lastIndexOf('-')
  return [{ id: id.slice(0, cut), epoch: Number(id.slice(cut + 1)), data }]
}
