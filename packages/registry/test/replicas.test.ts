import { type FreshDatabase, freshDatabase } from '@skerry/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type Claim,
  claimJobs,
  endJobs,
  type Fence,
  insertJobs,
  newId,
  openRegistry,
  type Registry,
  renewLeases
} from '../src/index.ts'

describe('replicas', () => {
  let database: FreshDatabase
  let registry: Registry
  const [a, b] = [newId(), newId()]

  beforeAll(async () => {
    database = await freshDatabase()
    registry = openRegistry({ databaseUrl: database.url, poolSize: 4 })
  })
  afterAll(async () => {
    await registry.close()
    await database.drop()
  })
  beforeEach(async () => {
    for (const table of ['scheduler_leases', 'replicas', 'jobs', 'devices'])
      await registry.pool.query(`DELETE FROM ${table}`)
  })

  const lapse = () => registry.pool.query("UPDATE scheduler_leases SET expires_at = now() - interval '1 second'")
  const acquire = async (replica: string): Promise<Fence> => {
    const found = await registry.replicas.acquireLease('default', replica, 60_000)
    if (found?.mine !== true) throw new Error('the lease is held')
    return found.fence
  }

  async function device(replica: string): Promise<{ deviceId: string; session: number }> {
    const { id } = await registry.devices.create({
      name: `device-${newId()}`,
      publicKey: new Uint8Array([1]),
      labels: {},
      capabilities: ['infer'],
      slots: { infer: 4, convert: 0 },
      facts: { arch: 'x64', os: 'linux', cpuModel: 'none', cores: 1, memoryBytes: 1, diskFreeBytes: 1, runtimes: [] }
    })
    const facts = (await registry.devices.record(id)).facts
    const opening = { deviceId: id, publicKey: new Uint8Array([1]), slots: { infer: 4, convert: 0 }, facts }
    const opened = await registry.deviceSessions.open([opening], replica)
    return { deviceId: id, session: opened.get(id)?.session ?? 0 }
  }

  async function claims(count: number, of: { deviceId: string; session: number }): Promise<Claim[]> {
    const ids = Array.from({ length: count }, () => newId())
    const rest = { model: null, version: null, deployment: null, payload: {}, inputs: null, targetDeviceId: null }
    const terms = { selector: {}, terms: {}, maxAttempts: 3, ttlMs: 60_000, idempotencyKey: null, requestHash: null }
    await insertJobs(
      registry.pool,
      ids.map((id) => ({ id, kind: 'inference' as const, pool: 'p', priority: 0, ...rest, ...terms }))
    )
    return ids.map((id) => ({ id, epoch: 1, ...of, variant: null, runtime: null, leaseMs: 15_000 }))
  }

  it('one holds the lease until it lapses or is given up; each takeover has a higher term', async () => {
    const first = await acquire(a)
    expect(first).toMatchObject({ holder: a, term: 1 })
    expect(await registry.replicas.acquireLease('default', b, 60_000)).toEqual({ fence: first, mine: false })
    expect(await registry.replicas.renewLease(first, 60_000)).toBe(true)
    await lapse()
    expect(await registry.replicas.renewLease(first, 60_000)).toBe(false)
    expect(await acquire(b)).toMatchObject({ holder: b, term: 2 })
    await registry.replicas.releaseLease(first)
    expect((await registry.replicas.acquireLease('default', a, 60_000))?.mine).toBe(false)
    await registry.replicas.releaseLease({ domain: 'default', holder: b, term: 2 })
    expect((await acquire(a)).term).toBe(3)
  })

  it('one of many that ask at the same time gets it', async () => {
    const ids = Array.from({ length: 8 }, () => newId())
    const found = await Promise.all(ids.map((id) => registry.replicas.acquireLease('default', id, 60_000)))
    expect(found.filter((entry) => entry?.mine === true)).toHaveLength(1)
  })

  it('a scheduler whose lease lapsed claims nothing, nor does one that another took over from', async () => {
    const of = await device(a)
    const jobs = await claims(3, of)
    const old = await acquire(a)
    expect(await claimJobs(registry.pool, jobs.slice(0, 1), old)).toHaveLength(1)
    await lapse()
    expect(await claimJobs(registry.pool, jobs.slice(1), old)).toEqual([])
    const next = await acquire(b)
    expect(await claimJobs(registry.pool, jobs.slice(1), old)).toEqual([])
    expect(await claimJobs(registry.pool, jobs.slice(1), { ...next, term: old.term })).toEqual([])
    expect(await claimJobs(registry.pool, jobs.slice(1), next)).toHaveLength(2)
  })

  it('holds the leases of the jobs that reached their device, and of no others there', async () => {
    const of = await device(a)
    const jobs = await claims(3, of)
    await claimJobs(registry.pool, jobs, await acquire(a))
    const [reached, lost, older] = jobs.map(({ id }) => id) as [string, string, string]
    await registry.pool.query("UPDATE jobs SET lease_expires_at = now() - interval '1 second'")
    const refs = [
      { jobId: reached, epoch: 1, ...of },
      { jobId: older, epoch: 1, deviceId: of.deviceId, session: of.session - 1 }
    ]
    await renewLeases(registry.pool, refs, 15_000, 120_000)
    const { rows } = await registry.pool.query<{ id: string }>('SELECT id FROM jobs WHERE lease_expires_at <= now()')
    expect(rows.map((row) => row.id).sort()).toEqual([lost, older].sort())
  })

  it('devices of a replica that fell silent are away, and are back when it is heard of after all', async () => {
    const [of, other] = [await device(a), await device(b)]
    expect(await registry.replicas.heartbeat(a)).toEqual({ isNew: true, others: [] })
    expect(await registry.replicas.heartbeat(b)).toEqual({ isNew: true, others: [a] })
    expect(await registry.replicas.dropStale(b)).toEqual([])
    await registry.pool.query("UPDATE replicas SET seen_at = now() - interval '1 minute'")
    // Whoever asks lives, whatever its row says.
    expect(await registry.replicas.dropStale(b)).toEqual([a])
    expect(await registry.devices.holder(of.deviceId)).toBeNull()
    expect(await registry.devices.holder(other.deviceId)).toBe(b)
    expect((await registry.replicas.heartbeat(a)).isNew).toBe(true)
    await registry.replicas.reopen(a, [of])
    expect(await registry.devices.holder(of.deviceId)).toBe(a)
  })

  it('a replica that starts closes the sessions of those that are gone, not of those that live', async () => {
    const [gone, living] = [await device(a), await device(b)]
    await registry.replicas.heartbeat(b)
    await registry.devices.closeAllSessions()
    expect(await registry.devices.holder(gone.deviceId)).toBeNull()
    expect(await registry.devices.holder(living.deviceId)).toBe(b)
  })

  /** Two running jobs, and a transaction that has locked one of them. */
  async function withOneLocked(
    locked: 0 | 1,
    then: (jobs: [Claim, Claim], lock: (id: string) => Promise<unknown>) => Promise<void>
  ): Promise<void> {
    const of = await device(a)
    const jobs = (await claims(2, of)) as [Claim, Claim]
    await claimJobs(registry.pool, jobs, await acquire(a))
    const other = await registry.pool.connect()
    const lock = (id: string) => other.query('SELECT FROM jobs WHERE id = $1 FOR UPDATE', [id])
    try {
      await other.query('BEGIN')
      await lock(jobs[locked].id)
      await then(jobs, lock)
    } finally {
      await other.query('ROLLBACK')
      other.release()
    }
  }

  it('renews leases without waiting for a row that is being written', () =>
    withOneLocked(0, async (jobs) => {
      const running = jobs.map(({ id, deviceId, session }) => ({ jobId: id, epoch: 1, deviceId, session }))
      await renewLeases(registry.pool, running, 60_000, 120_000)
      const renewed = "SELECT id FROM jobs WHERE lease_expires_at > now() + interval '30 seconds'"
      expect((await registry.pool.query(renewed)).rows).toEqual([{ id: jobs[1].id }])
    }))

  // Which of the two it locks first is the plan's to say: one of these is a deadlock.
  it.each([0, 1] as const)('ends jobs although it and another wait for each other (%i)', async (locked) => {
    let ended: Promise<Map<string, string>> | undefined
    let ids: string[] = []
    await withOneLocked(locked, async (jobs, lock) => {
      ids = jobs.map(({ id }) => id)
      const rest = { state: 'succeeded', runtime: null, timings: {}, result: null, outputs: null, error: null } as const
      const ends = jobs.map(({ id, deviceId }) => ({ id, epoch: 1, deviceId, ...rest }))
      ended = endJobs(registry.pool, ends)
      const waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
      await vi.waitFor(async () => expect((await registry.pool.query(waits)).rowCount).toBe(1), 5_000)
      // Who waited for a second when the circle closed is undone: where this test was held up for so long, its own lock.
      await lock(jobs[1 - locked]?.id ?? '').catch((error: Error) => {
        if (!error.message.includes('deadlock detected')) throw error
      })
    })
    expect(new Set((await ended)?.keys())).toEqual(new Set(ids))
  })
})
