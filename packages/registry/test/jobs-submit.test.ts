import { SkerryError } from '@skerry/contracts'
import { type FreshDatabase, freshDatabase } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { insertJobs, loadWaiting, type NewJob, newId, openRegistry, type Registry } from '../src/index.ts'

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
      expect(each.waiting).toEqual(loaded)
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
})
