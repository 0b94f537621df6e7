import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { assignHopeless, assignInference } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()

/** The process that holds the runtime: a child of this one, in which the agent runs. */
function runtimePid(): number {
  for (const task of readdirSync('/proc/self/task')) {
    for (const pid of readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean)) {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('tfjs-tflite-child')) return Number(pid)
    }
  }
  throw new Error('there is no runtime process')
}

async function serving(options: { invokeTimeoutMs?: number } = {}) {
  const { controlPlane } = await fleet.join({ slots: 3, ...options })
  const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
  controlPlane.send({ type: 'desired', artifacts: [wish] })
  await controlPlane.frame('placement', ({ state }) => state === 'ready')
  return { controlPlane, artifact: wish.artifact }
}

/** Stops the runtime's process and leaves it with a job in it. */
async function jobInStoppedRuntime(
  controlPlane: ControlPlane,
  artifact: string
): Promise<{ jobId: string; pid: number }> {
  const pid = runtimePid()
  process.kill(pid, 'SIGSTOP')
  const jobId = assignInference(controlPlane, { artifact, model, inline: true })
  // Frames are taken in order, and an inline job reaches its runtime before the next frame is looked at.
  await controlPlane.result(assignHopeless(controlPlane))
  return { jobId, pid }
}

const readyAfter = (controlPlane: ControlPlane, index: number): Promise<unknown> =>
  controlPlane.frame('placement', ({ state }, received) => {
    return state === 'ready' && controlPlane.received.indexOf(received) > index
  })

describe('a lost runtime process', () => {
  it('fails the job in it as retryable, keeps the session, loads the model again and goes on', async () => {
    const { controlPlane, artifact } = await serving()
    const { jobId, pid } = await jobInStoppedRuntime(controlPlane, artifact)
    const index = controlPlane.received.length
    process.kill(pid, 'SIGKILL')
    const { frame } = await controlPlane.result(jobId)
    expect(frame.error).toMatchObject({ code: 'runtime-crashed', retryable: true, killedRuntime: true })
    await readyAfter(controlPlane, index)
    const next = await controlPlane.result(assignInference(controlPlane, { artifact, model }))
    expect(next.frame.error).toBeUndefined()
    expect(runtimePid()).not.toBe(pid)
    expect(controlPlane.sessions).toBe(1)
  })

  it('fails the job that ran, and runs the one that waited behind it in the next process', async () => {
    const { controlPlane, artifact } = await serving()
    const { jobId, pid } = await jobInStoppedRuntime(controlPlane, artifact)
    const second = assignInference(controlPlane, { artifact, model, inline: true })
    await controlPlane.result(assignHopeless(controlPlane))
    process.kill(pid, 'SIGKILL')
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ killedRuntime: true })
    const { frame } = await controlPlane.result(second)
    expect(frame.error).toBeUndefined()
  })

  it('gives an artifact up after two crashes in a row, with the reason, and serves on', async () => {
    const { controlPlane, artifact } = await serving()
    for (let crash = 0; crash < 2; crash++) {
      const { jobId, pid } = await jobInStoppedRuntime(controlPlane, artifact)
      const index = controlPlane.received.length
      process.kill(pid, 'SIGKILL')
      await controlPlane.result(jobId)
      if (crash === 0) await readyAfter(controlPlane, index)
    }
    const { frame } = await controlPlane.frame('placement', ({ state }) => state === 'failed')
    expect(frame.reason).toMatch(/crashed .* 2 times in a row/)
    const refused = await controlPlane.result(assignInference(controlPlane, { artifact, model }))
    expect(refused.frame.error).toMatchObject({ retryable: true, message: expect.stringMatching(/2 times in a row/) })

    const other = controlPlane.place('other', model.bytes.subarray(0), 'tfjs-tflite', {
      names: model.names,
      model: 'o'
    })
    // Withdrawn and wished for anew, it gets another chance.
    controlPlane.send({ type: 'desired', artifacts: [] })
    controlPlane.send({ type: 'desired', artifacts: [other] })
    await controlPlane.frame('placement', ({ state, deployment }) => state === 'ready' && deployment === 'other')
  })

  it('ends an inference that takes too long, and says so', async () => {
    const { controlPlane, artifact } = await serving({ invokeTimeoutMs: 300 })
    const { jobId } = await jobInStoppedRuntime(controlPlane, artifact)
    const { frame } = await controlPlane.result(jobId)
    expect(frame.error).toMatchObject({ code: 'runtime-timeout', retryable: true, killedRuntime: true })
  })

  it('cancels an inference that does not end by itself, and runs the next job', async () => {
    const { controlPlane, artifact } = await serving()
    const { jobId } = await jobInStoppedRuntime(controlPlane, artifact)
    controlPlane.send({ type: 'cancel', jobId, epoch: 1 })
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'cancelled', retryable: false })
    const next = await controlPlane.result(assignInference(controlPlane, { artifact, model }))
    expect(next.frame.error).toBeUndefined()
  })

  it('ends an older attempt when a newer one of the same job comes, and answers both', async () => {
    const { controlPlane, artifact } = await serving()
    const { jobId } = await jobInStoppedRuntime(controlPlane, artifact)
    assignInference(controlPlane, { artifact, model, jobId, epoch: 2 })
    expect((await controlPlane.result(jobId, 1)).frame.error).toMatchObject({ code: 'cancelled', retryable: false })
    expect((await controlPlane.result(jobId, 2)).frame.error).toBeUndefined()
  })
})
