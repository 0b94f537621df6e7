import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Deployment, Device, Job, JoinToken } from '@skerry/contracts'
import { afterEach, describe, expect, it } from 'vitest'
import { faceDetector } from '../apps/agent/test/models.ts'
import { chownToNobody, nobodyMayRead, SecondMachine } from './second-machine.ts'
import { realModel } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

const repository = path.resolve(import.meta.dirname, '..')
const command = path.join(repository, 'apps/cli/dist/main.js')

/** The one line that README.md gives to another machine. */
async function lineOfReadme(): Promise<string> {
  const readme = await readFile(path.join(repository, 'README.md'), 'utf8')
  const lines = readme.split('\n').filter((line) => /^\S* ?(npx )?skerry agent join/.test(line))
  expect(lines).toEqual([expect.stringMatching(/^npx skerry agent join http:\/\/CONTROL-PLANE:8080 --token TOKEN$/)])
  return lines[0] as string
}

describe('a second machine', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  async function joins(asNobody: boolean): Promise<void> {
    const line = await lineOfReadme()
    const machine = SecondMachine.make()
    closing.push(() => machine.remove())
    const stack = await Stack.prepare({ host: machine.hostAddress })
    closing.push(() => stack.stop())
    await stack.startControlPlane()
    expect(stack.url).toContain(machine.hostAddress)
    const model = faceDetector()
    await realModel(stack, 'faces', model)
    await stack.must('POST', '/deployments', { name: 'faces', model: 'faces', version: '1' })

    const { token, urls } = await stack.must<JoinToken>('POST', '/join-tokens', { capabilities: ['infer'] })
    expect(urls).toEqual([stack.url])
    const home = await mkdtemp(path.join(os.tmpdir(), 'skerry-home-'))
    closing.push(() => rm(home, { recursive: true, force: true }))
    if (asNobody) chownToNobody(home)
    const typed = line.replace('http://CONTROL-PLANE:8080', urls?.[0] ?? '').replace('TOKEN', token)
    // No Python: nothing that set-up made for it is to be found.
    machine.type(typed, { cwd: repository, env: { HOME: home, SKERRY_TOOLS: path.join(home, 'none') }, asNobody })

    const ready = async () => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/faces')
      return devices.find(({ state }) => state === 'ready')
    }
    const placement = await eventually(ready, 60_000).catch((error: Error) => {
      throw new Error(`${error.message}\nthe second machine said:\n${machine.said()}`)
    })
    const { items } = await stack.must<{ items: Device[] }>('GET', '/devices?capability=infer')
    expect(items).toMatchObject([{ id: placement.device, state: 'online' }])
    // TensorFlow.js's native one may be installed too; where it is not, this one serves.
    expect(items[0]?.facts.runtimes[0]?.name).toBe('tfjs-tflite')

    const data = Array.from({ length: model.inputElements }, (_, i) => (i % 5) / 4)
    const inputs = [{ name: model.input, datatype: 'FP32', shape: [1, 128, 128, 3], data }]
    const { id } = await stack.must<Job>('POST', '/jobs', { kind: 'inference', model: 'faces', inputs })
    const job = await stack.ended(id)
    expect(job, machine.said()).toMatchObject({ state: 'succeeded', attempts: [{ device: placement.device }] })
    expect(job.outputs?.map(({ name }) => name).toSorted()).toEqual(model.outputs.toSorted())
  }

  it('joins with the one line of the README, takes a placement and serves a job, without Python', async ({ skip }) => {
    const why = SecondMachine.impossible()
    if (why !== undefined) return skip(why)
    await joins(false)
  }, 120_000)

  it('does so as an ordinary user as well', async ({ skip }) => {
    const why = SecondMachine.impossible()
    if (why !== undefined) return skip(why)
    if (!nobodyMayRead(command)) return skip('this checkout is closed to other users')
    await joins(true)
  }, 120_000)
})
