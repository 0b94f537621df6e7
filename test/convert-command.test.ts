import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { toolPaths } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AgentProcess } from './agent-process.ts'
import { Stack } from './stack.ts'

const command = path.resolve(import.meta.dirname, '../apps/cli/dist/main.js')
const makeModel = path.resolve(import.meta.dirname, '../apps/agent/test/make-tiny-model.py')
const run = promisify(execFile)

type Summary = {
  variants: { variant: string; state: string; parity?: { data: string } }[]
  known?: string[]
  outDir: string
  report: string
}

describe('skerry convert', () => {
  let folder = ''
  const data = ['--calibration', 'calibration.npz', '--evaluation', 'evaluation.npz']
  /** Exit code, last line of stdout and stderr of the command, run in the folder. */
  const skerry = (args: string[], env: Record<string, string> = {}) =>
    run(process.execPath, [command, 'convert', ...args], { cwd: folder, env: { ...process.env, ...env } }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error
    )
  const summaryOf = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Summary

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'skerry-convert-'))
    await run(toolPaths().python, [makeModel, folder])
  }, 60_000)
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('works alone: files, a report for people and one for programs', async () => {
    const args = ['model.keras', ...data, '--variant', 'float32,full_int8', '--variant', 'full_int8-uint8', '--json']
    const { code, stdout, stderr } = await skerry([...args, '--out', 'alone', '--report', 'seen/report.html'])
    expect(code, stderr).toBe(0)
    const { variants } = summaryOf(stdout)
    expect(variants.map(({ variant }) => variant)).toEqual(['float32', 'full_int8', 'full_int8-uint8'])
    expect(variants[0]).toMatchObject({ state: 'ready', parity: { data: 'uploaded' } })
    const files = await readdir(path.join(folder, 'alone'))
    for (const { variant } of variants) expect(files).toContain(`${variant}.tflite`)
    expect(files).toContain('report.json')
    expect(await readFile(path.join(folder, 'seen/report.html'), 'utf8')).toMatch(/full_int8-uint8/)
    expect((await readdir(folder)).filter((name) => name.includes('making'))).toEqual([])
  }, 120_000)

  it('says that nothing is proven without data, and what to send', async () => {
    const { code, stdout } = await skerry(['model.keras', '--variant', 'float32', '--out', 'unproven'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/float32 +unproven/)
    expect(stdout).toMatch(/send evaluation data/)
  }, 60_000)

  it('refuses what cannot work before TensorFlow is loaded, in one plain sentence', async () => {
    await writeFile(path.join(folder, 'text.keras'), 'no model')
    const cases: [string[], RegExp][] = [
      [['text.keras'], /none of the known kinds of model/],
      [['nothing.keras'], /nothing\.keras/],
      [['model.keras', '--variant', 'int3'], /int3 is no recipe/],
      [['model.keras', '--tolerance', 'snr=3'], /'snr=3' is no tolerance/],
      [['model.keras', '--format', 'h5'], /format keras/],
      [['model.keras', '--preprocessing', 'imagenet'], /keras-mobilenet/]
    ]
    for (const [args, words] of cases) {
      const { code, stderr } = await skerry([...args, '--out', 'refused'])
      expect([code, stderr.trim().split('\n').length], stderr).toEqual([1, 1])
      expect(stderr).toMatch(words)
    }
    expect(await readdir(folder)).not.toContain('refused')
  }, 60_000)

  it('leaves nothing behind when it is interrupted', async () => {
    const args = [command, 'convert', 'model.keras', ...data, '--out', 'interrupted']
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
    const closed = once(child, 'close')
    for await (const line of createInterface({ input: child.stderr })) {
      if (/converting|float/.test(line)) child.kill('SIGINT')
    }
    const [code] = await closed
    expect(code).toBe(130)
    expect((await readdir(folder)).filter((name) => name.startsWith('interrupted'))).toEqual([])
  }, 60_000)

  it('works through a server, which knows the conversion the second time', async () => {
    const stack = await Stack.start()
    const agent = await AgentProcess.prepare()
    try {
      const token = await stack.joinToken(['infer', 'convert'])
      agent.start(stack.url, ['--name', 'converter', '--capability', 'infer,convert', '--token', token])
      const env = { SKERRY_URL: stack.url, SKERRY_KEY: stack.key }
      const args = ['model.keras', ...data, '--variant', 'float32', '--json', '--server']
      const first = await skerry([...args, '--as', 'tiny/1', '--out', 'there'], env)
      expect(first.code, first.stderr).toBe(0)
      expect(summaryOf(first.stdout)).toMatchObject({ known: [], variants: [{ variant: 'float32', state: 'ready' }] })
      expect((await readdir(path.join(folder, 'there'))).sort()).toEqual([
        'float32.tflite',
        'report.html',
        'report.json'
      ])
      const second = await skerry([...args, '--as', 'tiny/2', '--out', 'again'], env)
      expect(summaryOf(second.stdout)).toMatchObject({ known: ['float32'] })
      const file = (name: string) => readFile(path.join(folder, name, 'float32.tflite'))
      expect((await file('again')).equals(await file('there'))).toBe(true)
    } finally {
      await agent.kill('SIGTERM')
      await stack.stop()
    }
  }, 120_000)
})
