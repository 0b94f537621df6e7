import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import type { Deployment } from '@skerry/contracts'
import { toolPaths } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '..')
/** Checks a running server against the interface that other programs rely on; it is kept beside the checkout. */
const contractCheck = path.resolve(root, '../shared/checks/contract.py')

type Summary = {
  model: string
  version: string
  variants: {
    variant: string
    state: string
    reason?: string
    parity: { accuracy: { original: number; variant: number } }
  }[]
  devices: { name: string; state: string }[]
  inference: {
    device: string
    runtime: string
    runs: number
    p50Ms: number
    p99Ms: number
    accuracy: number
    output: number
  }[]
  urls: { api: string }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  return port
}

describe('the worked example, as npm start runs it', () => {
  let dataDir = ''
  let url = ''
  let child: ChildProcess
  let summary: Summary

  beforeAll(async () => {
    dataDir = await mkdtemp(path.join(os.tmpdir(), 'skerry-example-'))
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    child = spawn(process.execPath, [path.join(root, 'apps/cli/dist/main.js'), 'up', '--json'], {
      cwd: root,
      env: { ...process.env, SKERRY_DATA_DIR: dataDir, SKERRY_HTTP_PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const progress: string[] = []
    child.stderr?.on('data', (part) => progress.push(String(part)))
    const ended = once(child, 'exit').then(() => {
      throw new Error(`it ended early:\n${progress.join('').slice(-3_000)}`)
    })
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    const first = once(lines, 'line') as Promise<[string]>
    const [line] = await Promise.race([first, ended])
    ended.catch(() => undefined)
    summary = JSON.parse(line) as Summary
  }, 900_000)

  afterAll(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
  }, 60_000)

  it('proves four variants and rejects the one that was calibrated on noise, by its accuracy', () => {
    const states = Object.fromEntries(summary.variants.map(({ variant, state }) => [variant, state]))
    expect(states).toEqual({
      float32: 'ready',
      float16: 'ready',
      dynamic_int8: 'ready',
      full_int8: 'ready',
      'full_int8-noise': 'rejected'
    })
    const noise = summary.variants.find(({ variant }) => variant === 'full_int8-noise')
    const { original, variant } = noise?.parity.accuracy ?? { original: 0, variant: 1 }
    expect(original - variant).toBeGreaterThan(0.2)
    expect(noise?.reason).toContain(original.toFixed(3))
    expect(noise?.reason).toContain(variant.toFixed(3))
  })

  it('answers on three devices and two runtimes, as accurately as the proof says', () => {
    expect(summary.devices.map(({ state }) => state)).toEqual(['online', 'online', 'online'])
    expect(summary.inference).toHaveLength(3)
    expect(new Set(summary.inference.map(({ runtime }) => runtime))).toEqual(new Set(['litert', 'tfjs-tflite']))
    for (const { runs, p50Ms, p99Ms, accuracy, output } of summary.inference) {
      expect(runs).toBeGreaterThanOrEqual(100)
      expect(p50Ms).toBeGreaterThan(0)
      expect(p99Ms).toBeGreaterThanOrEqual(p50Ms)
      expect(accuracy).toBeGreaterThanOrEqual(0.9)
      expect(output >= 0 && output <= 1).toBe(true)
    }
  })

  it('says which variants a device cannot run, and why', async () => {
    const authorization = `Bearer ${(await readFile(path.join(dataDir, 'admin.key'), 'utf8')).trim()}`
    const response = await fetch(`${summary.urls.api}/deployments/face`, { headers: { authorization } })
    const { devices } = (await response.json()) as Deployment
    const wasm = devices.find(({ runtime }) => runtime === 'tfjs-tflite')
    expect(wasm?.passedOver).toHaveLength(1)
    expect(wasm?.passedOver?.[0]).toMatchObject({ variant: 'dynamic_int8' })
    expect(wasm?.passedOver?.[0]?.reason).toContain('FULLY_CONNECTED version 12')
  })

  it.runIf(existsSync(contractCheck))(
    'keeps the contract',
    async () => {
      const args = [contractCheck, url, path.join(dataDir, 'admin.key'), '--level', '5']
      const { stdout } = await promisify(execFile)(toolPaths().python, args).catch((error) => error)
      expect(stdout).toMatch(/^\d+ passed, 0 failed$/m)
    },
    120_000
  )

  it('answers nothing but /healthz without a key', async () => {
    for (const route of [
      '/readyz',
      '/metrics',
      '/openapi.json',
      '/docs',
      '/api/v1/devices',
      '/api/v1/nothing',
      '/nothing'
    ])
      expect([route, (await fetch(url + route)).status]).toEqual([route, 401])
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  it('keeps serving until Ctrl-C, then stops everything in order', async () => {
    const pids = await pidsIn(path.join(dataDir, 'logs'))
    const exited = once(child, 'exit')
    child.kill('SIGINT')
    const [code, signal] = await exited
    expect([code, signal]).toEqual([0, null])
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  }, 60_000)
})

/** Process ids that the control plane and the agents write into their logs. */
async function pidsIn(logDir: string): Promise<Set<number>> {
  const pids = new Set<number>()
  for (const name of ['control-plane', 'edge-litert', 'edge-wasm', 'edge-converter'])
    for (const match of (await readFile(path.join(logDir, `${name}.log`), 'utf8')).matchAll(/"pid":(\d+)/g))
      pids.add(Number(match[1]))
  expect(pids.size).toBeGreaterThanOrEqual(4)
  return pids
}
