import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { Backoff } from '../src/backoff.ts'
import { assignHopeless } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const resultsOf = (controlPlane: ControlPlane, jobId: string): number =>
  controlPlane.received.filter(({ frame }) => frame.type === 'result' && frame.jobId === jobId).length

describe('the connection', () => {
  it('comes back after a cut and tells all its placements again', async () => {
    const { controlPlane } = await fleet.join()
    const model = faceDetector()
    controlPlane.desired = [controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })]
    controlPlane.send({ type: 'desired', artifacts: controlPlane.desired })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    controlPlane.cut()
    await controlPlane.session(2)
    await controlPlane.frame('placement', ({ state }, { session }) => state === 'ready' && session === 2)
    // It was ready all along: nothing was fetched or loaded again.
    const states = controlPlane.received.flatMap(({ frame, session }) =>
      frame.type === 'placement' && session === 2 ? [frame.state] : []
    )
    expect(states).toEqual(['ready'])
  })

  it('sends a result again in each session until it is acknowledged, and names it in its hello until then', async () => {
    const { controlPlane } = await fleet.join()
    const jobId = assignHopeless(controlPlane)
    await controlPlane.result(jobId)
    controlPlane.cut()
    const inSecond = await controlPlane.frame('result', (frame, { session }) => frame.jobId === jobId && session === 2)
    const second = await controlPlane.frame('hello', (_frame, { session }) => session === 2)
    expect(second.frame.holding).toEqual([{ jobId, epoch: 1 }])
    controlPlane.ack(inSecond.frame)
    // A later job's result shows that the acknowledgement was read before the next cut.
    controlPlane.ack((await controlPlane.result(assignHopeless(controlPlane))).frame)
    const last = assignHopeless(controlPlane)
    await controlPlane.result(last)
    controlPlane.cut()
    const third = await controlPlane.frame('hello', (_frame, { session }) => session === 3)
    expect(third.frame.holding).toEqual([{ jobId: last, epoch: 1 }])
    await controlPlane.frame('result', (frame, { session }) => frame.jobId === last && session === 3)
    expect(resultsOf(controlPlane, jobId)).toBe(2)
  })

  it('sends after a restart what was not acknowledged before it', async () => {
    const { controlPlane, agent, options } = await fleet.join()
    const jobId = assignHopeless(controlPlane)
    const before = await controlPlane.result(jobId)
    await agent.stop()
    await fleet.run(options)
    const hello = await controlPlane.frame('hello', (_frame, { session }) => session === 2)
    expect(hello.frame.holding).toEqual([{ jobId, epoch: 1 }])
    const after = await controlPlane.frame('result', (frame, { session }) => frame.jobId === jobId && session === 2)
    expect(after.frame).toEqual(before.frame)
  })

  it('does a job once, however often the same epoch of it is assigned', async () => {
    const { controlPlane } = await fleet.join()
    const jobId = randomUUID()
    // Nothing is desired of artifact `missing` yet, so the first waits for its placement while the second comes.
    assignHopeless(controlPlane, jobId)
    assignHopeless(controlPlane, jobId)
    controlPlane.ack((await controlPlane.result(jobId)).frame)
    await controlPlane.result(assignHopeless(controlPlane))
    expect(resultsOf(controlPlane, jobId)).toBe(1)
  })

  it('does a newer epoch of a job whose older result is not acknowledged yet, and holds both', async () => {
    const { controlPlane } = await fleet.join()
    const jobId = assignHopeless(controlPlane)
    await controlPlane.result(jobId, 1)
    assignHopeless(controlPlane, jobId, 2)
    controlPlane.ack((await controlPlane.result(jobId, 1)).frame, 'stale')
    await controlPlane.result(jobId, 2)
    await controlPlane.result(assignHopeless(controlPlane, jobId, 3), 3)
    controlPlane.cut()
    const { frame } = await controlPlane.frame('hello', (_frame, { session }) => session === 2)
    expect(frame.holding).toEqual([2, 3].map((epoch) => ({ jobId, epoch })))
  })

  it('answers work that it does not understand', async () => {
    const { controlPlane } = await fleet.join()
    const jobId = randomUUID()
    const work = { kind: 'training' } as unknown as { kind: 'inference' } & Record<string, never>
    controlPlane.send({ type: 'assign', jobId, epoch: 1, work: work as never })
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'agent-failed', retryable: true })
  })

  it('ends, and says what to do, when its device is revoked', async () => {
    const { controlPlane, agent } = await fleet.join()
    controlPlane.refuse = { code: 'device-revoked', detail: 'Lost.' }
    controlPlane.cut()
    expect(await agent.closed).toMatchObject({
      reason: 'revoked',
      message: expect.stringMatching(/Lost.*delete .*identity.json/)
    })
  })

  it('keeps trying after any other refusal', async () => {
    const { controlPlane } = await fleet.join()
    controlPlane.refuse = { code: 'unavailable', detail: 'Starting.' }
    controlPlane.cut()
    await controlPlane.frame('hello', (_frame, { session }) => session === 0)
    controlPlane.refuse = null
    await controlPlane.session(2)
  })

  it('stays when the control plane sends what it does not know', async () => {
    const { controlPlane } = await fleet.join()
    controlPlane.send({ type: 'firmware', version: 9 } as never)
    await controlPlane.result(assignHopeless(controlPlane))
    expect(controlPlane.sessions).toBe(1)
  })
})

describe('the backoff', () => {
  it('doubles its ceiling from the first wait to the longest, and draws from all below it', () => {
    const most = new Backoff(() => 1, 250, 15_000)
    expect(Array.from({ length: 8 }, () => most.nextMs())).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000])
    most.reset()
    expect(most.nextMs()).toBe(250)
    most.slowDown()
    expect(most.nextMs()).toBe(15_000)
    const least = new Backoff(() => 0, 250, 15_000)
    expect([least.nextMs(), least.nextMs()]).toEqual([0, 0])
  })
})
