import type { PlacementState } from '@skerry/contracts'
import { type FreshDatabase, freshDatabase } from '@skerry/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newId, openRegistry, type Registry } from '../src/index.ts'

const facts = { arch: 'x64', os: 'linux', cpuModel: 'c', cores: 1, memoryBytes: 1, diskFreeBytes: 1, runtimes: [] }

describe('placements', () => {
  let database: FreshDatabase
  let registry: Registry
  let devices: string[]

  beforeAll(async () => {
    database = await freshDatabase()
    registry = openRegistry({ databaseUrl: database.url, poolSize: 4 })
    await registry.pool.query(`INSERT INTO models (name) VALUES ('m')`)
    await registry.pool.query(
      `INSERT INTO model_versions (model, version, format, source_sha256, source_bytes) VALUES ('m', '1', 'h5', 's', 1)`
    )
    await registry.pool.query(
      `INSERT INTO variants (model, version, variant, recipe, state, sha256, manifest, signature, job_id)
       VALUES ('m', '1', 'v', 'float32', 'ready', 'art', '{"of": "art"}', 'sig', gen_random_uuid())`
    )
  })
  afterAll(async () => {
    await registry.close()
    await database.drop()
  })
  beforeEach(async () => {
    await registry.pool.query('DELETE FROM deployments')
    await registry.pool.query('DELETE FROM devices')
    for (const name of ['old', 'new']) await registry.deployments.create({ name, model: 'm', version: '1' })
    const terms = { publicKey: new Uint8Array([1]), labels: {}, capabilities: ['infer' as const], facts }
    devices = []
    for (const name of ['a', 'b', 'c'])
      devices.push((await registry.devices.create({ name, slots: { infer: 1, convert: 0 }, ...terms })).id)
  })

  const write = (device: number, deployment: string, state: PlacementState, artifact: string | null = 'art') => ({
    deployment,
    deviceId: devices[device] ?? '',
    variant: artifact === null ? null : 'v',
    artifact,
    runtime: artifact === null ? null : 'litert',
    state,
    reason: null
  })
  const connect = (...which: number[]) =>
    registry.pool.query('UPDATE devices SET connected = id = ANY($1::uuid[])', [which.map((i) => devices[i])])
  const phase = async () => {
    await registry.placements.updatePhase('old')
    return (await registry.deployments.get('old')).phase
  }

  it('are told with the devices that are there, a page at a time', async () => {
    await registry.placements.write([{ ...write(0, 'old', 'failed'), reason: 'too large' }, write(1, 'new', 'ready')])
    await connect(0)
    await registry.pool.query('UPDATE devices SET revoked_at = now() WHERE id = $1', [devices[1]])
    const ids = [devices[0], devices[2]].sort()
    const first = await registry.devices.standingsAfter('old', null, 1)
    const second = await registry.devices.standingsAfter('old', first[0]?.id ?? null, 1)
    expect([...first, ...second].map(({ id }) => id)).toEqual(ids)
    expect(await registry.devices.standingsAfter('old', ids[1] ?? null, 1)).toEqual([])
    expect([...first, ...second].find(({ id }) => id === devices[0])).toEqual({
      ...{ id: devices[0], name: 'a', state: 'online' },
      placement: { state: 'failed', reason: 'too large' }
    })
    expect([...first, ...second].find(({ id }) => id === devices[2])).toEqual({
      ...{ id: devices[2], name: 'c', state: 'offline' }
    })
  })

  it('are written for many devices at once, keep what was measured, and leave out a deployment that is gone', async () => {
    const measured = [{ variant: 'v', p50Ms: 2 }]
    await registry.placements.write([
      { ...write(0, 'old', 'pending'), measured },
      write(1, 'old', 'pending', null),
      write(2, 'gone', 'pending')
    ])
    await registry.placements.write([
      { ...write(0, 'old', 'pending'), passedOver: [{ variant: 'w', reason: 'large' }] }
    ])
    const { devices: placed } = await registry.deployments.get('old')
    expect(placed.map(({ device, artifact }) => [device, artifact])).toEqual([
      [devices[0], 'art'],
      [devices[1], null]
    ])
    expect(placed[0]).toMatchObject({ measured, passedOver: [{ variant: 'w', reason: 'large' }] })
    await registry.placements.remove('old', [devices[1] ?? ''])
    expect(await registry.placements.of(devices)).toMatchObject([{ deviceId: devices[0], deployment: 'old' }])
  })

  it('take a report about what is placed there, and none about another artifact', async () => {
    await registry.placements.write([write(0, 'old', 'pending'), write(1, 'old', 'pending')])
    const report = { deployment: 'old', artifact: 'art', state: 'ready' as const, reason: undefined }
    const answers = await registry.placements.report([
      { ...report, deviceId: devices[1] ?? '', artifact: 'other' },
      { ...report, deviceId: newId() },
      { ...report, deviceId: devices[0] ?? '' }
    ])
    expect(answers).toEqual([null, null, { variant: 'v', runtime: 'litert' }])
    const states = (await registry.placements.of(devices)).map(({ deviceId, state }) => [deviceId, state])
    expect(new Map(states as [string, string][])).toEqual(
      new Map([
        [devices[0], 'ready'],
        [devices[1], 'pending']
      ])
    )
  })

  it('say by device what is to be loaded, the oldest deployment first, with what signs it', async () => {
    await registry.placements.write([
      write(0, 'new', 'pending'),
      write(0, 'old', 'ready'),
      write(1, 'old', 'pending', null),
      write(2, 'old', 'pending', 'replaced since')
    ])
    const desired = await registry.placements.desired(devices)
    expect([...desired.keys()]).toEqual([devices[0]])
    const signed = { artifact: 'art', runtime: 'litert', manifest: { of: 'art' }, signature: 'sig' }
    expect(desired.get(devices[0] ?? '')).toEqual([
      { deployment: 'old', ...signed },
      { deployment: 'new', ...signed }
    ])
  })

  it('make the phase of their deployment by those of its connected devices', async () => {
    expect(await phase()).toBe('progressing')
    await registry.placements.write([write(0, 'old', 'ineligible', null)])
    expect(await phase()).toBe('failed')
    await registry.placements.write([write(1, 'old', 'ready'), write(2, 'old', 'loading')])
    expect(await phase()).toBe('progressing')
    await connect(1, 2)
    expect(await phase()).toBe('progressing')
    await connect(1)
    expect(await phase()).toBe('ready')
    await registry.placements.write([write(2, 'old', 'failed')])
    await connect(1, 2)
    expect(await phase()).toBe('ready')
    await connect(2)
    expect(await phase()).toBe('failed')
  })

  it("answer a phase, a device's token and its benchmarks from an index, however many rows there are", async () => {
    const plan = async (statement: string): Promise<string> => {
      const client = await registry.pool.connect()
      try {
        await client.query('SET enable_seqscan = off')
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${statement}`)
        return rows.map((row) => row['QUERY PLAN']).join('\n')
      } finally {
        await client.query('RESET enable_seqscan')
        client.release()
      }
    }
    expect(await plan(`SELECT FROM devices WHERE http_token_hash = '\\x01'`)).toContain('devices_http_token_hash_idx')
    expect(await plan(`SELECT FROM placements WHERE deployment = 'old' AND state = 'ready'`)).toContain(
      'placements_deployment_state_idx'
    )
    expect(await plan(`SELECT FROM jobs WHERE kind = 'benchmark' AND target_device_id = '${newId()}'`)).toContain(
      'jobs_benchmarks'
    )
  })
})
