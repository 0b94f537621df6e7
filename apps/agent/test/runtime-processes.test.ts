import { EventEmitter, once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startRuntime, type TfliteRuntime } from '@skerry/runtimes'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { RuntimeHost } from '../src/runtime-host.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()
const inputs = new Map([[model.input, new Float32Array(model.inputElements)]])
const never = new AbortController().signal
const log = pino({ level: 'silent' })

/** A host of real processes; an answer of one that is held back comes when it is let go. */
async function host(processes: number) {
  const held = new Map<number, Promise<void>>()
  const lost: string[][] = []
  const runtimes: RuntimeHost = new RuntimeHost({
    start: async (name) => heldBack(await startRuntime(name, {}), held),
    threads: 1,
    processes,
    invokeTimeoutMs: 60_000,
    log,
    onLost: (_, models) => lost.push([...models])
  })
  const path = join(await fleet.dataDir(), 'model.tflite')
  await writeFile(path, model.bytes)
  await runtimes.load({ id: 'faces', artifact: 'a'.repeat(64), runtime: 'tfjs-tflite', path, names: model.names })
  const hold = (pid: number): (() => void) => {
    const gate = new EventEmitter()
    held.set(
      pid,
      once(gate, 'open').then(() => undefined)
    )
    return () => {
      held.delete(pid)
      gate.emit('open')
    }
  }
  return { runtimes, lost, hold, infer: () => runtimes.run('faces', inputs, never) }
}

function heldBack(runtime: TfliteRuntime, held: ReadonlyMap<number, Promise<void>>): TfliteRuntime {
  return new Proxy(runtime, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      if (key !== 'invoke') return value.bind(target)
      return async (...args: Parameters<TfliteRuntime['invoke']>) => {
        const result = await target.invoke(...args)
        await held.get(target.pid)
        return result
      }
    }
  })
}

describe('the processes of one runtime', () => {
  it('answer an inference while another one is still running, once a second process is there', async () => {
    const { runtimes, hold, infer } = await host(2)
    const [first = 0] = runtimes.pids()
    const letGo = hold(first)
    const slow = infer()
    const behind = infer()
    await expect.poll(() => runtimes.pids().length, { timeout: 20_000 }).toBe(2)
    // Neither of those two ends before the first process may answer; this one does not need it.
    await expect.poll(async () => answersWithin(infer()), { timeout: 20_000 }).toBe(true)
    letGo()
    await Promise.all([slow, behind])
    await runtimes.close()
    expect(runtimes.pids()).toEqual([])
  })

  it('are no more than there are slots', async () => {
    const { runtimes, hold, infer } = await host(1)
    const letGo = hold(runtimes.pids()[0] ?? 0)
    const both = [infer(), infer()]
    expect(await answersWithin(Promise.race(both))).toBe(false)
    expect(runtimes.pids()).toHaveLength(1)
    letGo()
    await Promise.all(both)
    await runtimes.close()
  })

  it('cover for each other: one that is killed takes no model away that another one holds', async () => {
    const { runtimes, lost, hold, infer } = await host(2)
    const [first = 0] = runtimes.pids()
    const letGo = hold(first)
    const slow = infer()
    const behind = infer()
    await expect.poll(async () => answersWithin(infer()), { timeout: 20_000 }).toBe(true)
    letGo()
    await Promise.all([slow, behind])
    process.kill(first, 'SIGKILL')
    await expect.poll(() => lost).toEqual([[]])
    expect(runtimes.loadedIds()).toEqual(new Set(['faces']))
    await infer()
    const [second = 0] = runtimes.pids()
    expect(second).not.toBe(first)
    process.kill(second, 'SIGKILL')
    await expect.poll(() => lost).toEqual([[], ['faces']])
    await runtimes.close()
  })
})

/** Whether it ends in the time of many inferences; one that is held back never does. */
async function answersWithin(work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController()
  const late = wait(500, false, { signal: timer.signal }).catch(() => false)
  const inTime = await Promise.race([work.then(() => true), late])
  timer.abort()
  return inTime
}
