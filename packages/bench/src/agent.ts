import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { AgentFrame } from '@skerry/contracts'
import { AgentProcess } from './agent-process.ts'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { exampleVariants } from './example-variants.ts'
import { median } from './median.ts'
import { joinToken, OneDeviceControlPlane } from './one-device-control-plane.ts'

const starts = 5
/** What happens only at the start (JIT, heap growth) is over by then. */
const settleMs = 15_000
const idleMs = 60_000
const artifactBytes = 10_000_000
const cuts = [1_000_000, 1_500_000, 2_000_000, 700_000, 1_300_000]
const goals = {
  rssBytes: 140e6,
  stretchRssBytes: 90e6,
  cpuPercent: 0.5,
  bytesPerSecond: 200,
  readyMs: 1_000,
  fetchedOverSize: 1.01
}

/**
 * What an agent costs while it does nothing, how soon it serves, and what a bad link costs it. There is nothing to
 * compare an agent with, so each figure stands beside its goal; `ratio` is the idle RSS of agent and runtime over its
 * goal. The control plane is a small one in this process that speaks the real protocol; the agent is the real command
 * in a process of its own. Traffic is TCP's payload both ways: pings, heartbeats, and nothing below.
 */
export async function benchmarkAgent(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { say } = context
  const model = await readFile((await exampleVariants(context, ['float32'], say)).float32)
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-bench-'))
  try {
    const ready = await startsToReady(path.join(scratch, 'ready'), model)
    say(`socket open to ready with a cached model: median ${ready.readyMs.toFixed(0)} ms of ${starts}`)
    say(`idle: ${idleMs / 1000} s of it, after ${settleMs / 1000} s to settle`)
    const idle = await idleCost(path.join(scratch, 'ready'), model)
    say(
      `idle: RSS ${megabytes(idle.rssBytes)} MB (agent ${megabytes(idle.agentRssBytes)}, runtime ${megabytes(idle.childRssBytes)}), PSS ${megabytes(idle.pssBytes)} MB, CPU ${idle.cpuPercent.toFixed(2)} %, ${idle.bytesPerSecond.toFixed(0)} bytes/s`
    )
    const transfer = await cutTransfer(path.join(scratch, 'transfer'))
    say(`10 MB over a link cut ${cuts.length} times: fetched ${transfer.fetchedOverSize.toFixed(4)} of its size`)
    return { benchmark: 'agent', ratio: idle.rssBytes / goals.rssBytes, goals, ...ready, ...idle, ...transfer }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

const isReady = (frame: AgentFrame): boolean => frame.type === 'placement' && frame.state === 'ready'
const join = (controlPlane: OneDeviceControlPlane, dataDir: string): AgentProcess =>
  new AgentProcess(controlPlane.url, ['--token', joinToken, '--runtime', 'litert', '--data-dir', dataDir])

async function startsToReady(dataDir: string, model: Uint8Array) {
  const readiesMs: number[] = []
  // The first start fetches the model; it does not count.
  for (let start = 0; start <= starts; start++) {
    await withAgent(dataDir, model, async (controlPlane, _agent, readyAtMs) => {
      if (start > 0) readiesMs.push(readyAtMs - controlPlane.openedAtMs)
    })
  }
  return { readyMs: median(readiesMs), readiesMs }
}

async function idleCost(dataDir: string, model: Uint8Array) {
  return withAgent(dataDir, model, async (controlPlane, agent) => {
    await wait(settleMs)
    const before = { ...agent.usage(), bytes: controlPlane.linkBytes(), atMs: performance.now() }
    await wait(idleMs)
    const after = { ...agent.usage(), bytes: controlPlane.linkBytes(), atMs: performance.now() }
    const elapsedMs = after.atMs - before.atMs
    const cpuMs = after.agent.cpuMs + after.children.cpuMs - before.agent.cpuMs - before.children.cpuMs
    return {
      rssBytes: after.agent.rssBytes + after.children.rssBytes,
      agentRssBytes: after.agent.rssBytes,
      childRssBytes: after.children.rssBytes,
      pssBytes: after.agent.pssBytes + after.children.pssBytes,
      cpuPercent: (100 * cpuMs) / elapsedMs,
      bytesPerSecond: (after.bytes - before.bytes) / (elapsedMs / 1000)
    }
  })
}

async function withAgent<T>(
  dataDir: string,
  model: Uint8Array,
  work: (controlPlane: OneDeviceControlPlane, agent: AgentProcess, readyAtMs: number) => Promise<T>
): Promise<T> {
  const controlPlane = await OneDeviceControlPlane.start()
  // Another control plane's key would be refused; the cache stays.
  await rm(path.join(dataDir, 'identity.json'), { force: true })
  controlPlane.desired = [controlPlane.place('example', model, 'litert')]
  const ready = controlPlane.frame(isReady)
  const agent = join(controlPlane, dataDir)
  try {
    return await work(controlPlane, agent, await ready)
  } finally {
    await agent.stop()
    await controlPlane.stop()
  }
}

/** Bytes that no runtime would load: they arrive, and are proven to be the right ones. */
async function cutTransfer(dataDir: string) {
  const controlPlane = await OneDeviceControlPlane.start()
  controlPlane.desired = [controlPlane.place('large', randomBytes(artifactBytes), 'litert')]
  controlPlane.cutsAfterBytes.push(...cuts)
  const whole = controlPlane.frame((frame) => frame.type === 'placement' && frame.state === 'loading')
  const agent = join(controlPlane, dataDir)
  try {
    await whole
  } finally {
    await agent.stop()
    await controlPlane.stop()
  }
  const fetched = controlPlane.sent.reduce((sum, { bytes }) => sum + bytes, 0)
  return { fetchedOverSize: fetched / artifactBytes, transfers: controlPlane.sent.length }
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)
