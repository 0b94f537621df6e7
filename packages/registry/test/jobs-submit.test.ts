import { SkerryError } from '@skerry/contracts'
import { type FreshDatabase, freshDatabase } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { insertJobs, loadWaiting, type NewJob, newId, openRegistry, queuedAfter, type Registry } from '../src/index.ts'

describe('insertJobs', () => {
  let database: FreshDatabase
  let registry: Registry

  beforeAll(async () => {
    database = await freshDatabase()
    registry = openRegistry({ databaseUrl: database.url, poolSize: 2 })
  })
  afterAll(async () => {
    await registry.close()
    await database.drop()
  })

  const jobOf = (more: Partial<NewJob> = {}): NewJob => ({
    ...{ id: newId(), kind: 'inference', pool: 'deployment-d', priority: 7, model: 'm', version: '1', deployment: 'd' },
    ...{ payload: { inputs: [], outputs: [] }, inputs: new Uint8Array([1, 2]), targetDeviceId: newId() },
    ...{ selector: { site: { in: ['a', 'b'] } }, terms: { deadline: true, tolerations: ['gpu'] }, maxAttempts: 3 },
    ...{ ttlMs: 12_345, idempotencyKey: null, requestHash: null, ...more }
  })

  it('answers each new row as the scheduler would load it', async () => {
    const jobs = [jobOf(), jobOf({ selector: {}, terms: {}, targetDeviceId: null, priority: 0 })]
    const submitted = await insertJobs(registry.pool, jobs)
    const rows = await loadWaiting(
      registry.pool,
      jobs.map(({ id }) => ({ id, epoch: 1 }))
    )
    for (const each of submitted) {
      if (each instanceof SkerryError || each.waiting === null) throw new Error('the job was not stored')
      const loaded = rows.find(({ id }) => id === each.id)
      expect(loaded).toBeDefined()
      const { bundle: _, ...waiting } = each.waiting
      expect(waiting).toEqual(loaded)
      expect(each.waiting.expires_ms - each.waiting.created_ms).toBeCloseTo(12_345, -1)
    }
  })

  it('hands nothing over that was there before, nor a request that is another one', async () => {
    const [key, requestHash] = [newId(), new Uint8Array([1])]
    const first = jobOf({ idempotencyKey: key, requestHash })
    await insertJobs(registry.pool, [first])
    const again = await insertJobs(registry.pool, [
      jobOf({ idempotencyKey: key, requestHash }),
      jobOf({ idempotencyKey: key, requestHash: new Uint8Array([2]) }),
      jobOf()
    ])
    expect(again[0]).toEqual({ id: first.id, waiting: null })
    expect(again[1]).toMatchObject({ code: 'idempotency-mismatch' })
    expect(again[2]).toMatchObject({ waiting: { epoch: 1 } })
  })

  it('bundles what goes to the same pool in the same class, and remembers of each row in which bundle it went', async () => {
    const pools = Array.from({ length: 70 }, () => jobOf({ pool: 'many' }))
    const jobs = [...pools, jobOf({ pool: 'alone' }), jobOf({ pool: 'pair' }), jobOf({ pool: 'pair' })]
    jobs.push(jobOf({ pool: 'pair', priority: 1 }))
    const bundles = (await insertJobs(registry.pool, jobs)).map((each) => {
      if (each instanceof SkerryError || each.waiting === null) throw new Error('the job was not stored')
      return each.waiting.bundle ?? null
    })
    const [first, second] = [bundles.slice(0, 64), bundles.slice(64, 70)]
    for (const bundle of [first, second]) expect([new Set(bundle).size, bundle[0] === null]).toEqual([1, false])
    expect(new Set([first[0], second[0], bundles[71]]).size).toBe(3)
    expect(bundles.slice(70)).toEqual([null, bundles[71], bundles[71], null])
    const rows = new Map((await queuedAfter(registry.pool, null, 1_000, 0)).map((row) => [row.id, row.bundle]))
    expect(jobs.map(({ id }) => rows.get(id))).toEqual(bundles)
    await registry.pool.query('UPDATE jobs SET epoch = 2')
    const later = await queuedAfter(registry.pool, null, 1_000, 0)
    expect(later.every(({ bundle }) => bundle === null)).toBe(true)
  })
})
