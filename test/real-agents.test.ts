import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { ConversionResult, Deployment, Device, Job, Problem, Variant } from '@skerry/contracts'
import { toolPaths } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AgentProcess } from './agent-process.ts'
import { eventually, Stack } from './stack.ts'

const makeModel = path.resolve(import.meta.dirname, '../apps/agent/test/make-tiny-model.py')

/** x[1,16] for the tiny classifier, different for each seed. */
const features = (seed: number) => [
  {
    name: 'features',
    datatype: 'FP32',
    shape: [1, 16],
    data: Array.from({ length: 16 }, (_, i) => Math.sin(seed * 17 + i * 3))
  }
]
const job = (seed: number, more: object = {}) => ({ kind: 'inference', model: 'tiny', inputs: features(seed), ...more })

describe('real agents, the real converter and both runtimes', () => {
  let stack: Stack
  let native: AgentProcess
  let wasm: AgentProcess
  let folder = ''

  const blob = async (file: string): Promise<string> => {
    const bytes = await readFile(path.join(folder, file))
    const hash = createHash('sha256').update(bytes).digest('hex')
    await stack.must('PUT', `/blobs/${hash}`, bytes, { 'content-type': 'application/octet-stream' })
    return hash
  }
  const convert = async (version: string, more: object = {}): Promise<Job> => {
    const request = {
      variants: ['float32', 'dynamic_int8', 'full_int8'],
      calibration: { blob: await blob('calibration.npz'), format: 'npz' },
      evaluation: { blob: await blob('evaluation.npz'), format: 'npz' },
      ...more
    }
    const { id } = await stack.must<Job>('POST', `/models/tiny/versions/${version}/conversions`, request)
    return stack.ended(id, 180_000)
  }
  const ready = (count: number) =>
    eventually(async () => {
      const deployment = await stack.must<Deployment>('GET', '/deployments/tiny')
      return deployment.devices.filter((entry) => entry.state === 'ready').length === count && deployment
    }, 60_000)
  const startNative = async (token?: string) => {
    native.start(stack.url, [
      ...['--name', 'native', '--runtime', 'litert', '--capability', 'infer,convert'],
      ...(token === undefined ? [] : ['--token', token])
    ])
  }

  beforeAll(async () => {
    stack = await Stack.start()
    folder = await mkdtemp(path.join(os.tmpdir(), 'skerry-tiny-'))
    await promisify(execFile)(toolPaths().python, [makeModel, folder])
    native = await AgentProcess.prepare()
    wasm = await AgentProcess.prepare()
    const token = await stack.joinToken(['infer', 'convert'])
    await startNative(token)
    wasm.start(stack.url, ['--name', 'wasm', '--runtime', 'tfjs-tflite', '--token', token])
    await stack.must(
      'PUT',
      '/models/tiny/versions/1/source?format=keras',
      await readFile(path.join(folder, 'model.keras'))
    )
  }, 120_000)

  afterAll(async () => {
    await native.kill('SIGKILL')
    await wasm.kill('SIGKILL')
    await stack.stop()
  })

  it('converts, proves and stores each variant, with the names and the shape of the original', async () => {
    const done = await convert('1')
    expect(done, JSON.stringify(done.error)).toMatchObject({ state: 'succeeded' })
    const version = await stack.must<{ inputs: object[]; outputs: object[] }>('GET', '/models/tiny/versions/1')
    expect(version.inputs).toEqual([{ name: 'features', datatype: 'FP32', shape: [-1, 16] }])
    expect(version.outputs).toEqual([{ name: 'scores', datatype: 'FP32', shape: [-1, 4] }])
    const { items } = await stack.must<{ items: Variant[] }>('GET', '/models/tiny/versions/1/variants')
    expect(items.map((variant) => variant.variant)).toEqual(['dynamic_int8', 'float32', 'full_int8'])
    for (const variant of items.filter((each) => each.state === 'ready')) {
      expect(variant.parity).toMatchObject({ data: 'uploaded', passed: true })
      expect(variant.signature).toBeDefined()
      const { body } = await stack.call<string>(
        'GET',
        `/models/tiny/versions/1/variants/${variant.variant}/model.tflite`
      )
      expect(body.length).toBeGreaterThan(0)
    }
    expect(items.find((variant) => variant.variant === 'float32')?.state).toBe('ready')
  }, 200_000)

  it('knows a conversion again, whatever the model is called, and makes only what is new', async () => {
    const source = await readFile(path.join(folder, 'model.keras'))
    await stack.must('PUT', '/models/other/versions/1/source?format=keras', source)
    const request = {
      variants: ['full_int8', 'float16', 'float32'],
      calibration: { blob: await blob('calibration.npz'), format: 'npz' },
      evaluation: { blob: await blob('evaluation.npz'), format: 'npz' }
    }
    const ask = async (more: object = {}) => {
      const body = { ...request, ...more }
      const { id } = await stack.must<Job>('POST', '/models/other/versions/1/conversions', body)
      const done = await stack.ended(id, 180_000)
      expect(done, JSON.stringify(done.error)).toMatchObject({ state: 'succeeded' })
      return done.result as ConversionResult
    }
    const first = await ask()
    expect(first.known?.toSorted()).toEqual(['float32', 'full_int8'])
    expect(first.variants.map(({ recipe }) => recipe)).toEqual(['full_int8', 'float16', 'float32'])
    const again = await ask()
    expect(again.known?.toSorted()).toEqual(['float16', 'float32', 'full_int8'])
    expect(again.variants).toEqual(first.variants)
    const { items } = await stack.must<{ items: Variant[] }>('GET', '/models/tiny/versions/1/variants')
    const { items: other } = await stack.must<{ items: Variant[] }>('GET', '/models/other/versions/1/variants')
    const hashOf = (variants: Variant[]) => variants.find(({ variant }) => variant === 'full_int8')?.sha256
    expect(hashOf(other)).toBe(hashOf(items))
    // Another tolerance may give another state, and a fresh one is asked for by name.
    expect((await ask({ variants: ['float32'], tolerance: { minSnrDb: 20 } })).known).toEqual([])
    expect((await ask({ variants: ['float32'], fresh: true })).known).toEqual([])
  }, 300_000)

  it('keeps a report of each conversion, which can run nothing', async () => {
    const route = '/models/tiny/versions/1/variants/float32/report'
    const html = await stack.call<string>('GET', `${route}.html`)
    expect(html.body).toMatch(/^<!doctype html>/i)
    expect(html.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(html.headers.get('content-security-policy')).toMatch(/^sandbox; default-src 'none'/)
    const json = await stack.must<{ variants: { variant: string }[] }>('GET', `${route}.json`)
    expect(json.variants.map(({ variant }) => variant)).toEqual(['float32', 'dynamic_int8', 'full_int8'])
  })

  it('serves a file that came as .tflite only where unproven ones are allowed', async () => {
    const converted = await fetch(`${stack.url}/api/v1/models/tiny/versions/1/variants/float32/model.tflite`, {
      headers: { authorization: `Bearer ${stack.key}` }
    })
    const file = new Uint8Array(await converted.arrayBuffer())
    await stack.must('PUT', '/models/ready/versions/1/source?format=tflite', file)
    const refused = await stack.call<Problem>('POST', '/models/ready/versions/1/conversions', { variants: ['float16'] })
    expect(refused).toMatchObject({ status: 422, body: { code: 'wrong-format' } })
    const { id } = await stack.must<Job>('POST', '/models/ready/versions/1/conversions', {})
    expect(await stack.ended(id, 60_000)).toMatchObject({ state: 'succeeded' })
    const { items } = await stack.must<{ items: Variant[] }>('GET', '/models/ready/versions/1/variants')
    expect(items).toMatchObject([{ variant: 'original', state: 'unproven' }])

    const placed = async (name: string, count: number) =>
      eventually(async () => {
        const deployment = await stack.must<Deployment>('GET', `/deployments/${name}`)
        return deployment.devices.filter(({ state }) => state === (count === 0 ? 'ineligible' : 'ready')).length === 2
      }, 60_000)
    await stack.must('POST', '/deployments', { name: 'strict', model: 'ready', version: '1' })
    await placed('strict', 0)
    await stack.must('POST', '/deployments', { name: 'loose', model: 'ready', version: '1', allowUnproven: true })
    await placed('loose', 2)
  }, 200_000)

  it('gives each device a proven variant that its runtime can run, checked on golden inputs', async () => {
    await stack.must('POST', '/deployments', { name: 'tiny', model: 'tiny', version: '1' })
    const deployment = await ready(2)
    expect(deployment.devices.map((entry) => [entry.deviceName, entry.runtime]).sort()).toEqual([
      ['native', 'litert'],
      ['wasm', 'tfjs-tflite']
    ])
  }, 90_000)

  it('answers jobs on both devices alike, with timings, latency and health to read', async () => {
    const { items } = await stack.must<{ items: Device[] }>('GET', '/devices')
    const answers: number[][] = []
    for (const device of items) {
      const { id } = await stack.must<Job>('POST', '/jobs', job(1, { device: device.id }))
      const done = await stack.ended(id)
      expect(done, JSON.stringify(done.error)).toMatchObject({ state: 'succeeded' })
      expect(done.attempts[0]).toMatchObject({ device: device.id })
      answers.push(done.outputs?.[0]?.data as number[])
    }
    expect(answers[0]).toHaveLength(4)
    for (const [i, value] of (answers[0] ?? []).entries()) expect(answers[1]?.[i]).toBeCloseTo(value, 1)
    const latency = await eventually(async () => {
      const found = await stack.must<{ count: number; p50: number }>('GET', '/latency?model=tiny')
      return found.count >= 2 && found
    }, 30_000)
    expect(latency.p50).toBeGreaterThan(0)
    await eventually(async () => (await stack.must<Device>('GET', '/devices/native')).health?.rssBytes, 20_000)
  }, 90_000)

  it('finishes a job once elsewhere when its agent is killed in the middle of it', async () => {
    await stack.must('POST', '/devices/wasm/cordon')
    // The runtime stands still, so that the job is surely running when the agent dies.
    for (const pid of native.childPids()) process.kill(pid, 'SIGSTOP')
    const { id } = await stack.must<Job>('POST', '/jobs', job(2))
    await eventually(async () => (await stack.must<Job>('GET', `/jobs/${id}`)).state === 'running')
    const children = native.childPids()
    await native.kill('SIGKILL')
    for (const pid of children) process.kill(pid, 'SIGKILL')
    await stack.must('POST', '/devices/wasm/uncordon')
    const done = await stack.ended(id, 40_000)
    const { id: wasmId } = await stack.must<Device>('GET', '/devices/wasm')
    expect(done).toMatchObject({ state: 'succeeded' })
    expect(done.attempts.map((attempt) => [attempt.number, attempt.error?.code])).toEqual([
      [1, 'device-lost'],
      [2, undefined]
    ])
    expect(done.attempts[1]?.device).toBe(wasmId)
    await startNative()
    await ready(2)
  }, 120_000)

  it('ends each job once when the control plane restarts with jobs running', async () => {
    const ids: string[] = []
    for (let i = 0; i < 40; i++) ids.push((await stack.must<Job>('POST', '/jobs', job(i))).id)
    const { port } = new URL(stack.url)
    await stack.stopControlPlane()
    stack.config.port = Number(port)
    await stack.startControlPlane()
    for (const id of ids) {
      const done = await stack.ended(id, 60_000)
      expect(done, JSON.stringify(done)).toMatchObject({ state: 'succeeded' })
      expect(done.attempts.filter((attempt) => attempt.error === undefined)).toHaveLength(1)
    }
  }, 150_000)

  it('fails a conversion with the reason, and converts the next one', async () => {
    // A keras archive by its outside, with nothing that loads inside.
    const source = await readFile(path.join(folder, 'model.keras'))
    const broken = Buffer.from(source)
    broken.fill(0, 60, Math.floor(source.length / 2))
    await stack.must('PUT', '/models/tiny/versions/broken/source?format=keras', broken)
    const failed = await convert('broken', { variants: ['float32'] })
    expect(failed.state).toBe('failed')
    expect(failed.error?.message).not.toBe('')
    // One variant alone is made within the limit on a fast machine.
    const int8 = ['', '-uint8', '-float', '-pertensor', '-dynamicbatch'].map((more) => `full_int8${more}`)
    const many = ['float32', 'float16', 'dynamic_int8', 'int16x8', ...int8]
    const slow = await convert('1', { variants: many, timeLimitMs: 1_000, suffix: 'slow', fresh: true })
    expect(slow).toMatchObject({ state: 'failed', error: { code: 'conversion-timeout' } })
    expect((await convert('1', { variants: ['float32'], suffix: 'again' })).state).toBe('succeeded')
  }, 200_000)

  it('refuses sources that are no model, cut short or of another format, and keeps nothing of them', async () => {
    const model = await readFile(path.join(folder, 'model.keras'))
    const cases: [string, Uint8Array, string][] = [
      ['keras', Buffer.from('this is no model'), 'not-a-model'],
      ['keras', new Uint8Array(0), 'not-a-model'],
      ['keras', model.subarray(0, model.length - 200), 'not-a-model'],
      ['h5', model, 'wrong-format']
    ]
    for (const [format, bytes, code] of cases) {
      const answer = await stack.call<Problem>('PUT', `/models/bad/versions/1/source?format=${format}`, bytes)
      expect([answer.status, answer.body.code]).toEqual([422, code])
    }
    expect((await stack.call('GET', '/models/bad')).status).toBe(404)
    const digest = { 'content-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:` }
    const wrong = await stack.call<Problem>('PUT', '/models/bad/versions/1/source?format=keras', model, digest)
    expect([wrong.status, wrong.body.code]).toEqual([422, 'digest-mismatch'])
    const hash = createHash('sha256').update('this is no model').digest('hex')
    expect((await stack.call('GET', `/blobs/${hash}`)).status).toBe(404)
    const large = JSON.stringify(job(1, { filler: 'x'.repeat(70 * 1024 ** 2) }))
    const oversized = await stack.call<Problem>('POST', '/jobs', large, { 'content-type': 'application/json' })
    expect([oversized.status, oversized.body.code]).toEqual([413, 'body-too-large'])
    const unknown = await stack.call<Problem>('POST', '/models/tiny/versions/1/conversions', { variants: ['int3'] })
    expect([unknown.status, unknown.body.code]).toEqual([400, 'invalid-request'])
    await writeFile(path.join(folder, 'done'), '')
  }, 60_000)
})
