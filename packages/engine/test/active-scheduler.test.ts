import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { openBlobStore } from '@skerry/blobs'
import type { ControlFrame } from '@skerry/contracts'
import { JobQueue, ReplicaBus } from '@skerry/queue'
import { newId, openRegistry, type Registry } from '@skerry/registry'
import { createMetrics } from '@skerry/telemetry'
import { type FreshDatabase, freshDatabase, freshRedis } from '@skerry/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ActiveScheduler } from '../src/cluster/active-scheduler.ts'
import type { ClusterMessage, ConnectionState, ToHolder } from '../src/cluster/messages.ts'
import { Connections } from '../src/devices/connections.ts'
import { freeSlots, jobKey, type Session } from '../src/devices/fleet.ts'
import { Engine, type EngineResources } from '../src/index.ts'

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const facts = {
  arch: 'x64',
  os: 'linux',
  cpuModel: 'simulated',
  cores: 1,
  memoryBytes: 2 ** 30,
  diskFreeBytes: 2 ** 30,
  runtimes: []
}
const assign = (jobId: string, epoch = 1): ControlFrame => ({
  type: 'assign',
  jobId,
  epoch,
  work: { kind: 'inference', deployment: 'd', artifact: 'a', inputs: [], outputs: [] }
})

describe('ActiveScheduler, of devices at another replica', () => {
  const [deviceId, holder, job, other] = [newId(), newId(), newId(), newId()]
  let database: FreshDatabase
  let registry: Registry
  let queue: JobQueue
  let engine: Engine
  let dir: string
  let sent: ToHolder[]
  let scheduler: ActiveScheduler

  beforeAll(async () => {
    database = await freshDatabase()
    registry = openRegistry({ databaseUrl: database.url, poolSize: 4 })
    const { url, prefix } = freshRedis()
    queue = new JobQueue({ redisUrl: url, prefix })
    dir = mkdtempSync(path.join(os.tmpdir(), 'skerry-engine-'))
    const bus = new ReplicaBus<ClusterMessage>({ redisUrl: url, prefix, id: newId() })
    const blobs = openBlobStore(pathToFileURL(dir).href)
    const resources: EngineResources = { registry, queue, bus, blobs, metrics: createMetrics(), log, nowMs: () => 0 }
    engine = await Engine.open(resources, () => 'unknown')
  })
  afterAll(async () => {
    await queue.close()
    await registry.close()
    await database.drop()
    rmSync(dir, { recursive: true })
  })
  beforeEach(() => {
    sent = []
    scheduler = engine.schedulerFor(
      { domain: 'default', holder: engine.cluster.id, term: 7 },
      () => (message) => sent.push(message)
    )
  })

  const state = (more: Partial<ConnectionState> = {}): ConnectionState => ({
    deviceId,
    name: 'device',
    session: 1,
    state: 'online',
    labels: {},
    taints: [],
    capabilities: ['infer'],
    facts,
    slots: { infer: 2, convert: 0 },
    health: null,
    running: [],
    ready: [],
    ...more
  })
  const announce = (heard: number, ...connections: ConnectionState[]) =>
    scheduler.receive(holder, { type: 'announcement', term: 7, heard, connections, last: true })
  const session = () => scheduler.fleet.get(deviceId) as Session
  const running = () => [...session().running.keys()].sort()

  it('keeps the slot of a job that is on its way, and frees that of one which never came there', () => {
    scheduler.receive(holder, { type: 'connected', connection: state() })
    for (const id of [job, other]) {
      scheduler.fleet.hold(deviceId, jobKey(id, 1), 'infer')
      session().link.send(assign(id))
    }
    expect(freeSlots(session())).toEqual({ infer: 0, convert: 0 })
    // The holder had seen the first message only, and it has that job.
    announce(1, state({ running: [[jobKey(job, 1), 'infer']] }))
    expect(running()).toEqual([jobKey(job, 1), jobKey(other, 1)].sort())
    // It has seen both by now, and knows of none: one has ended, the other was lost.
    announce(2, state())
    expect(running()).toEqual([])
  })

  it('keeps the slot of a job that is being claimed while its holder announces', () => {
    scheduler.receive(holder, { type: 'connected', connection: state() })
    scheduler.fleet.hold(deviceId, jobKey(job, 1), 'infer')
    announce(99, state())
    expect(running()).toEqual([jobKey(job, 1)])
  })

  it('takes what runs on a device from its next session, wherever that is, and hears the older one no more', () => {
    scheduler.receive(holder, { type: 'connected', connection: state({ running: [[jobKey(job, 1), 'infer']] }) })
    const connection = state({ session: 2, running: [[jobKey(other, 1), 'infer']] })
    scheduler.receive(newId(), { type: 'connected', connection })
    expect(sent).toMatchObject([{ type: 'close', session: 1, term: 7 }])
    expect(running()).toEqual([jobKey(other, 1)])
    const release = { deviceId, key: jobKey(other, 1), outcome: 'succeeded' as const }
    scheduler.receive(holder, { type: 'released', session: 1, release })
    scheduler.receive(holder, { type: 'disconnected', deviceId, session: 1 })
    announce(0)
    expect(running()).toEqual([jobKey(other, 1)])
  })

  it('takes out what a replica no longer names, and nothing for what is said to another term', () => {
    scheduler.receive(holder, { type: 'connected', connection: state() })
    scheduler.receive(holder, { type: 'announcement', term: 6, heard: 0, connections: [], last: true })
    expect(session()).toBeDefined()
    announce(0)
    expect(session()).toBeUndefined()
  })

  it('tells a listener what changed, once', () => {
    const told: string[] = []
    scheduler.fleet.listen({
      onConnected: ({ session }) => told.push(`connected ${session}`),
      onDisconnected: () => told.push('disconnected'),
      onCredits: () => told.push('credits'),
      onChanged: () => told.push('changed'),
      onReleased: ({ outcome }) => told.push(outcome)
    })
    scheduler.receive(holder, { type: 'connected', connection: state({ running: [[jobKey(job, 1), 'infer']] }) })
    const release = { deviceId, key: jobKey(job, 1), outcome: 'succeeded' as const }
    for (const _ of [1, 2]) scheduler.receive(holder, { type: 'released', session: 1, release })
    scheduler.receive(holder, { type: 'health', deviceId, session: 1, health: { refusing: ['hot'] } as never })
    scheduler.receive(holder, { type: 'disconnected', deviceId, session: 1 })
    expect(told).toEqual(['connected 1', 'succeeded', 'credits', 'changed', 'disconnected'])
  })
})

describe('Connections', () => {
  const open = () => {
    const frames: ControlFrame[] = []
    const connections = new Connections(() => 5)
    connections.open({
      deviceId: 'd',
      name: 'd',
      session: 3,
      link: { send: (frame) => frames.push(frame), close: () => undefined },
      state: 'online',
      labels: {},
      taints: [],
      capabilities: ['infer'],
      facts,
      slots: { infer: 1, convert: 0 },
      health: null,
      running: new Map(),
      ready: new Map([['d', { artifact: 'old', variant: 'v', runtime: 'litert' }]]),
      lastHeardAtMs: 5
    })
    return { connections, frames }
  }
  const to = (frame: ControlFrame, more: object = {}) => ({ term: 2, deviceId: 'd', session: 3, frame, ...more })

  it('pass on what the scheduler of the newest term sends to the current session, and count what runs', () => {
    const { connections, frames } = open()
    connections.setTerm(2)
    expect(connections.deliver(to(assign('j'), { term: 1 }))).toBe('refused')
    expect(connections.deliver(to(assign('j'), { session: 2 }))).toBe('refused')
    expect(connections.running(0)).toEqual([])
    expect(connections.deliver(to(assign('j')))).toBe('sent')
    expect(connections.running(0)).toEqual([{ jobId: 'j', epoch: 1, deviceId: 'd', session: 3 }])
    expect(connections.running(6)).toEqual([])
    expect(frames).toHaveLength(1)
  })

  it('say of a job that never came that it is not there', () => {
    const { connections, frames } = open()
    expect(connections.deliver(to({ type: 'cancel', jobId: 'j', epoch: 1 }))).toBe('absent')
    connections.deliver(to(assign('j')))
    expect(connections.deliver(to({ type: 'cancel', jobId: 'j', epoch: 1 }))).toBe('sent')
    expect(frames.map(({ type }) => type)).toEqual(['assign', 'cancel'])
  })

  it('forget what was ready once a device is told to hold something else', () => {
    const { connections } = open()
    connections.deliver(to({ type: 'desired', artifacts: [] }))
    expect([...(connections.get('d')?.ready.keys() ?? [])]).toEqual([])
  })
})
