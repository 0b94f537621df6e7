import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeviceConfig } from '@skerry/contracts'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { assignInference } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet, liteRtLibrary } from './running-agent.ts'
import { SystemTree } from './system-tree.ts'

const fleet = new Fleet()
const trees: SystemTree[] = []
afterEach(async () => {
  await fleet.close()
  await Promise.all(trees.splice(0).map((tree) => tree.remove()))
})

const model = faceDetector()

async function configure(controlPlane: ControlPlane, revision: number, config: DeviceConfig) {
  controlPlane.send({ type: 'config', revision, config })
  return (await controlPlane.frame('config-report', (frame) => frame.revision === revision)).frame
}

describe('configuration from the control plane', () => {
  it('is applied while jobs run, acknowledged with what holds now, and told in new facts', async () => {
    const logger = pino({ level: 'silent' })
    const { controlPlane } = await fleet.join({ logger })
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    const jobs = Array.from({ length: 6 }, () => assignInference(controlPlane, { artifact: wish.artifact, model }))
    const report = await configure(controlPlane, 3, { slots: 2, threads: 2, logLevel: 'error', maxTemperatureC: 70 })
    expect(report).toMatchObject({ applied: { slots: 2, threads: 2, logLevel: 'error', maxTemperatureC: 70 } })
    expect(report.refused).toEqual([])
    expect(logger.level).toBe('error')
    expect((await controlPlane.frame('facts')).frame).toMatchObject({ slots: { infer: 2 } })
    const isReload = (frame: object) => 'reason' in frame && /with 2 threads/.test(String(frame.reason))
    await controlPlane.frame('placement', isReload)
    // Those that ran and those that waited, through the reload.
    for (const job of jobs) expect((await controlPlane.result(job)).frame.error).toBeUndefined()
    const reload = controlPlane.received.findIndex(({ frame }) => isReload(frame))
    await controlPlane.frame(
      'placement',
      ({ state }, received) => state === 'ready' && controlPlane.received.indexOf(received) > reload
    )
  })

  it('takes the limits from the next job on', async () => {
    const tree = await SystemTree.make({ 'sys/class/thermal/thermal_zone0/temp': 75_000 })
    trees.push(tree)
    const { controlPlane } = await fleet.join({ systemRoot: tree.root })
    const artifact = '0'.repeat(64)
    await configure(controlPlane, 1, { maxTemperatureC: 70 })
    const hot = await controlPlane.result(assignInference(controlPlane, { artifact, model }))
    expect(hot.frame.error?.message).toMatch(/75 °C hot, and works below 70 °C/)
    await configure(controlPlane, 2, {})
    controlPlane.send({ type: 'desired', artifacts: [] })
    const cool = await controlPlane.result(assignInference(controlPlane, { artifact, model }))
    expect(cool.frame.error?.message).toMatch(/not ready here/)
  })

  it('does not overrule the command line, and says which flag won', async () => {
    const { controlPlane, options } = await fleet.join({ slots: 1, limits: { minBatteryPercent: 30 } })
    const wish: DeviceConfig = { slots: 4, runtime: 'litert', minBatteryPercent: 10, threads: 250, logLevel: 'warn' }
    const { applied, refused } = await configure(controlPlane, 1, wish)
    expect(applied).toMatchObject({ slots: 1, runtime: options.runtime, minBatteryPercent: 30, logLevel: 'warn' })
    expect(Object.fromEntries(refused.map(({ setting, reason }) => [setting, reason]))).toEqual({
      slots: 'It was started with --slots, which wins: 1.',
      runtime: 'It was started with --runtime, which wins: tfjs-tflite.',
      minBatteryPercent: 'It was started with --min-battery, which wins: 30.',
      threads: expect.stringMatching(/^It has \d+ cores/)
    })
  })

  it('refuses a runtime that does not start here, with its words, and settings it does not know', async () => {
    const { controlPlane } = await fleet.join({ runtime: undefined as never })
    const wish = { runtime: 'litert', brightness: 7 } as DeviceConfig
    const { applied, refused } = await configure(controlPlane, 1, wish)
    expect(applied.runtime).toBe('auto')
    expect(applied.runtimes.map(({ name }) => name)).not.toContain('litert')
    expect(applied.runtimes).not.toEqual([])
    expect(refused).toEqual([
      { setting: 'brightness', reason: 'This agent does not know this setting or value.' },
      { setting: 'runtime', reason: expect.stringMatching(/library/) }
    ])
  })

  it('moves to another runtime and back without a restart', async ({ skip }) => {
    if (liteRtLibrary === undefined) return skip('set-up has not run: there is no LiteRT')
    const { controlPlane } = await fleet.join({ runtime: undefined as never, liteRtLibrary })
    const wish = controlPlane.place('faces', model.bytes, 'litert', { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    const wasm = await configure(controlPlane, 1, { runtime: 'tfjs-tflite' })
    expect(wasm.applied.runtimes.map(({ name }) => name)).toEqual(['tfjs-tflite'])
    const told = await controlPlane.frame('facts', ({ facts }) => facts.runtimes.length === 1)
    expect(told.frame.facts.runtimes[0]?.name).toBe('tfjs-tflite')
    // What the control plane makes of it.
    controlPlane.send({ type: 'desired', artifacts: [{ ...wish, runtime: 'tfjs-tflite' }] })
    const moved = await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model }))
    expect(moved.frame).toMatchObject({ runtime: 'tfjs-tflite' })
    const back = await configure(controlPlane, 2, {})
    expect(back.applied.runtimes.map(({ name }) => name)).toContain('litert')
  })

  it('holds after a restart and without a network, and a damaged file costs only the wait for the next session', async () => {
    const { controlPlane, agent, dataDir, options } = await fleet.join()
    await configure(controlPlane, 5, { slots: 3, minBatteryPercent: 40 })
    await agent.stop()
    expect(JSON.parse(await readFile(join(dataDir, 'remote-config.json'), 'utf8'))).toEqual({
      revision: 5,
      config: { slots: 3, minBatteryPercent: 40 }
    })
    const again = await fleet.run(options)
    await controlPlane.session(2)
    const hellos = () => controlPlane.received.filter(({ frame }) => frame.type === 'hello')
    expect(hellos().at(-1)?.frame).toMatchObject({
      slots: { infer: 3 },
      facts: { understands: expect.arrayContaining(['config']) }
    })
    await again.stop()
    await writeFile(join(dataDir, 'remote-config.json'), '{"revision": 5, "config": {"slo')
    await fleet.run(options)
    await controlPlane.session(3)
    expect(hellos().at(-1)?.frame).toMatchObject({ slots: { infer: 1 } })
  })
})
