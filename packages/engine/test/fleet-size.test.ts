import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { openBlobStore } from '@skerry/blobs'
import type { ControlFrame, DeviceFacts } from '@skerry/contracts'
import { JobQueue, ReplicaBus } from '@skerry/queue'
import { newId, openRegistry, type Registry } from '@skerry/registry'
import { createMetrics } from '@skerry/telemetry'
import { type FreshDatabase, freshDatabase, freshRedis } from '@skerry/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClusterMessage } from '../src/cluster/messages.ts'
import type { DeviceLink } from '../src/devices/fleet.ts'
import { Engine } from '../src/index.ts'
import { Statements } from './statements.ts'

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const facts: DeviceFacts = {
  arch: 'x64',
  os: 'linux',
  cpuModel: 'simulated',
  cores: 1,
  memoryBytes: 2 ** 30,
  diskFreeBytes: 2 ** 30,
  runtimes: [{ name: 'litert', version: '1' }]
}
const KEY = Buffer.from([1])
const ARTIFACT = 'a'.repeat(64)
const slots = { infer: 1, convert: 0 }

/** The device's end of a connection. */
class Link implements DeviceLink {
  readonly frames: ControlFrame[] = []
  readonly closed: string[] = []
  #onFrame = (): void => undefined

  send(frame: ControlFrame): void {
    this.frames.push(frame)
    this.#onFrame()
  }

  close(reason: string): void {
    this.closed.push(reason)
  }

  /** Resolves once what the device was last told to hold is what these deployments want there. */
  told(...deployments: string[]): Promise<void> {
    const wanted = deployments.length === 0 ? ['d'] : deployments
    return new Promise((resolve) => {
      this.#onFrame = () => {
        const last = this.frames.findLast((frame) => frame.type === 'desired')
        if (last?.artifacts.map(({ deployment }) => deployment).join() === wanted.join()) resolve()
      }
      this.#onFrame()
    })
  }
}

describe('a fleet of any size', () => {
  let database: FreshDatabase
  let registry: Registry
  let queue: JobQueue
  let engine: Engine
  let statements: Statements
  let dir: string

  beforeEach(async () => {
    database = await freshDatabase()
    registry = openRegistry({ databaseUrl: database.url, poolSize: 6 })
    statements = new Statements(registry.pool)
    const { url, prefix } = freshRedis()
    queue = new JobQueue({ redisUrl: url, prefix })
    dir = mkdtempSync(path.join(os.tmpdir(), 'skerry-engine-'))
    const bus = new ReplicaBus<ClusterMessage>({ redisUrl: url, prefix, id: newId() })
    const blobs = openBlobStore(pathToFileURL(dir).href)
    const nowMs = () => performance.now()
    engine = await Engine.open({ registry, queue, bus, blobs, metrics: createMetrics(), log, nowMs }, () => null)
    await engine.start()
    await registry.pool.query(`INSERT INTO models (name) VALUES ('m')`)
    await registry.pool.query(
      `INSERT INTO model_versions (model, version, format, source_sha256, source_bytes) VALUES ('m', '1', 'h5', 's', 1)`
    )
    await registry.pool.query(
      `INSERT INTO variants (model, version, variant, recipe, state, sha256, manifest, signature, job_id)
       VALUES ('m', '1', 'float32', 'float32', 'unproven', $1, '{}', 's', gen_random_uuid())`,
      [ARTIFACT]
    )
    await engine.createDeployment({ name: 'd', model: 'm', version: '1', allowUnproven: true })
  })
  afterEach(async () => {
    await engine.stop()
    await queue.close()
    await registry.close()
    await database.drop()
    rmSync(dir, { recursive: true })
  })

  const enrol = async (name: string): Promise<string> =>
    (await registry.devices.create({ name, publicKey: KEY, labels: {}, capabilities: ['infer'], slots, facts })).id
  const enrolMany = (count: number, name: string) =>
    Promise.all(Array.from({ length: count }, (_, i) => enrol(`${name}-${i}`)))
  const open = (deviceId: string, link: Link, more: object = {}, isGone?: () => boolean) =>
    engine.sessions.open(
      { deviceId, capabilities: ['infer'], slots, facts, holding: [], ...more },
      KEY,
      link,
      ...(isGone === undefined ? [] : [isGone])
    )
  const connected = async (deviceId: string): Promise<number> => {
    const link = new Link()
    const session = await open(deviceId, link)
    await link.told()
    return session ?? 0
  }
  const report = (deviceId: string, session: number) =>
    engine.sessions.onFrame(
      deviceId,
      session,
      { type: 'placement', deployment: 'd', artifact: ARTIFACT, state: 'ready' },
      new Uint8Array()
    )
  /** Others that serve the deployment already. */
  const others = (count: number) =>
    registry.pool.query(
      `WITH d AS (INSERT INTO devices (id, name, public_key, taints, capabilities, facts, infer_slots, convert_slots)
         SELECT gen_random_uuid(), 'other-' || i, '\\x01', '{}', '{infer}', $1, 1, 0 FROM generate_series(1, $2) AS i
         RETURNING id)
       INSERT INTO placements (deployment, device_id, variant, artifact, runtime, state)
       SELECT 'd', id, 'float32', $3, 'litert', 'ready' FROM d`,
      [facts, count, ARTIFACT]
    )

  /** What a device that comes, loads the model and says so makes Postgres read of devices and placements. */
  async function costOfOne(name: string): Promise<{ statements: number; rows: number }> {
    const deviceId = await enrol(name)
    const measured = await statements.during(/devices|placements/, async () => {
      await report(deviceId, await connected(deviceId))
      // Behind all that the first one caused, in the same order of things.
      const next = await enrol(`${name}-next`)
      await report(next, await connected(next))
    })
    return measured
  }

  it('lets a device come for the same rows and statements with ten others or with a thousand', async () => {
    await connected(await enrol('first'))
    await others(10)
    const few = await costOfOne('one')
    await registry.pool.query(`DELETE FROM devices WHERE name LIKE 'other-%'`)
    await others(1_000)
    const many = await costOfOne('two')
    // How many of its statements are joined with others is a matter of turns.
    expect(many.rows).toBeLessThan(few.rows + 20)
    expect(many.statements).toBeLessThan(few.statements + 20)
  })

  it('takes in many at once with a few statements for all of them, and places them all', async () => {
    const ids = await enrolMany(300, 'many')
    const links = ids.map(() => new Link())
    const { statements: count } = await statements.during(/devices|placements|deployments|variants|jobs/, async () => {
      await Promise.all(ids.map((id, i) => open(id, links[i] as Link)))
      await Promise.all(links.map((link) => link.told()))
    })
    expect(count).toBeLessThan(150)
    expect(links.every(({ closed }) => closed.length === 0)).toBe(true)
    const { rows } = await registry.pool.query('SELECT FROM devices WHERE connected AND session = 1')
    expect(rows).toHaveLength(300)
  })

  it('takes what many say and that they leave in a few statements too', async () => {
    const ids = await enrolMany(200, 'many')
    const links = ids.map(() => new Link())
    const sessions = await Promise.all(ids.map((id, i) => open(id, links[i] as Link)))
    await Promise.all(links.map((link) => link.told()))
    const said = await statements.during(/UPDATE placements/, async () => {
      await Promise.all(ids.map((id, i) => report(id, sessions[i] ?? 0)))
    })
    expect(said.statements).toBeLessThan(10)
    const { devices } = await registry.deployments.get('d')
    expect(devices.filter(({ state }) => state === 'ready')).toHaveLength(200)
    const left = await statements.during(/UPDATE devices/, async () => {
      await Promise.all(ids.map((id, i) => engine.sessions.close(id, sessions[i] ?? 0)))
    })
    expect(left.statements).toBeLessThan(10)
    const { rows } = await registry.pool.query('SELECT FROM devices WHERE connected')
    expect(rows).toHaveLength(0)
  })

  it('keeps nobody out for the sake of one whose words Postgres does not take', async () => {
    const ids = await enrolMany(7, 'odd')
    const links = ids.map(() => new Link())
    const outcomes = await Promise.allSettled(
      ids.map((id, i) => open(id, links[i] as Link, i === 3 ? { facts: { ...facts, cpuModel: '\u0000' } } : {}))
    )
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(ids.map((_, i) => i !== 3))
    expect(links.map(({ frames }) => frames[0]?.type)).toEqual(ids.map((_, i) => (i === 3 ? undefined : 'welcome')))
  })

  it('opens one session after the other for a device that comes twice at once, and none for one that is gone', async () => {
    const [twice, gone] = [await enrol('twice'), await enrol('gone')]
    const [first, second] = [new Link(), new Link()]
    const sessions = await Promise.all([
      open(twice, first),
      open(twice, second),
      open(gone, new Link(), {}, () => true)
    ])
    expect(sessions).toEqual([1, 2, null])
    expect([first.closed.length, second.closed.length]).toEqual([1, 0])
    const { rows } = await registry.pool.query('SELECT session, connected FROM devices WHERE id = $1', [gone])
    expect(rows).toEqual([{ session: 0, connected: false }])
  })

  it('places a device although Postgres failed when it came', async () => {
    // The pass over all devices for the new deployment is over by then.
    await connected(await enrol('first'))
    const terms = registry.deployments.terms.bind(registry.deployments)
    let failed = false
    registry.deployments.terms = (names) => {
      if (failed) return terms(names)
      failed = true
      return Promise.reject(new Error('the connection was lost'))
    }
    expect(await connected(await enrol('unlucky'))).toBe(1)
    expect(failed).toBe(true)
  })

  it('takes a model from a device that its deployment no longer means, and tells the device', async () => {
    await engine.createDeployment({
      ...{ name: 'north', model: 'm', version: '1', allowUnproven: true },
      selector: { site: 'north' }
    })
    const { id } = await registry.devices.create({
      ...{ name: 'mover', publicKey: KEY, capabilities: ['infer'], slots, facts },
      labels: { site: 'north' }
    })
    const link = new Link()
    await open(id, link)
    await link.told('d', 'north')
    await engine.deviceChanged(await registry.devices.patch(id, { labels: { site: 'south' } }))
    await link.told('d')
    expect((await registry.deployments.get('north')).devices).toEqual([])
  })

  it('refuses a device whose key was replaced after it was proven', async () => {
    const deviceId = await enrol('replaced')
    await registry.devices.replaceKey(deviceId, KEY, Buffer.from([2]))
    await expect(open(deviceId, new Link())).rejects.toMatchObject({ code: 'device-unproven' })
  })

  it('asks BullMQ for no pool of a single device again once it was found empty', async () => {
    const deviceId = await enrol('target')
    const session = await connected(deviceId)
    await report(deviceId, session)
    const fetched: string[] = []
    const fetch = queue.fetch.bind(queue)
    let onFetch = (_: string): void => undefined
    queue.fetch = async (pool, limit) => {
      const found = await fetch(pool, limit)
      fetched.push(pool)
      onFetch(pool)
      return found
    }
    const seen = (pool: string, times: number) =>
      new Promise<void>((resolve) => {
        let left = times
        onFetch = (each) => {
          if (each === pool) left -= 1
          if (left === 0) resolve()
        }
      })
    const own = seen(`device-${deviceId}`, 1)
    engine.cluster.tell({ type: 'wake', pools: [`device-${deviceId}`] })
    await own
    fetched.length = 0
    // The slow poll asks for every pool that is known.
    await seen('conversion', 2)
    expect(fetched).not.toContain(`device-${deviceId}`)
  })
})
