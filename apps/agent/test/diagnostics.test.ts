import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { RecentLog } from '../src/diagnostics/recent-log.ts'
import { withoutSecrets } from '../src/diagnostics/secrets.ts'
import { openLog } from '../src/index.ts'
import { assignHopeless } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'
import { untar } from './untar.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()
const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() })

async function diagnose(controlPlane: ControlPlane) {
  const id = randomUUID()
  controlPlane.send({ type: 'diagnose', id })
  const { frame } = await controlPlane.frame('diagnostics', (frame) => frame.id === id)
  const bytes = controlPlane.blobs.get(frame.blob ?? '') ?? new Uint8Array()
  return { frame, bytes, files: untar(bytes) }
}

describe('diagnostics', () => {
  it('hold the log, the configuration, versions, placements, work and health, for a person to read', async () => {
    const { logger, recentLog } = openLog('info', nowhere())
    const { controlPlane, agent } = await fleet.join({ name: 'edge', logger, recentLog, labels: { room: '3' } })
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names, model: 'face' })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    // A result that nobody acknowledged.
    await controlPlane.result(assignHopeless(controlPlane))
    await controlPlane.frame('heartbeat')
    logger.info({ shelf: 7 }, 'something to be found')
    const { frame, bytes, files } = await diagnose(controlPlane)
    expect(frame.bytes).toBe(bytes.byteLength)
    expect([...files.keys()]).toEqual(
      [
        'summary.txt',
        'log.txt',
        'config.json',
        'facts.json',
        'versions.json',
        'placements.json',
        'work.json',
        'health.json'
      ].map((name) => `skerry-edge/${name}`)
    )
    const read = (name: string): string => files.get(`skerry-edge/${name}`) ?? ''
    expect(read('summary.txt')).toMatch(new RegExp(`^device +edge \\(${agent.deviceId}\\)`))
    expect(read('summary.txt')).toMatch(/ready +faces: face\/1 float32 on tfjs-tflite/)
    expect(read('log.txt')).toMatch(/^\d{4}-\S+Z INFO {2}something to be found {"shelf":7}$/m)
    expect(JSON.parse(read('config.json'))).toMatchObject({
      startedWith: { labels: { room: '3' }, given: expect.arrayContaining(['runtime']) },
      applied: { slots: 1, logLevel: 'info' }
    })
    expect(JSON.parse(read('facts.json'))).toMatchObject({ runtimes: [{ name: 'tfjs-tflite' }] })
    expect(JSON.parse(read('versions.json'))).toMatchObject({ 'tfjs-tflite': { node: process.versions.node } })
    expect(JSON.parse(read('placements.json'))).toMatchObject([{ deployments: ['faces'], state: 'ready' }])
    expect(JSON.parse(read('work.json'))).toMatchObject({ journalEntries: 1, held: 0, waiting: 0, cachedFiles: 1 })
    expect(JSON.parse(read('health.json')).length).toBeGreaterThan(0)
  })

  it('hold no secret, not even one that was logged', async () => {
    const { logger, recentLog } = openLog('trace', nowhere())
    const { controlPlane, dataDir, options } = await fleet.join({ logger, recentLog })
    const identity = JSON.parse(await readFile(join(dataDir, 'identity.json'), 'utf8'))
    const earlier = `session_${'Ab-_'.repeat(8)}`
    const secrets = [options.token ?? '', controlPlane.httpToken, identity.privateKey, earlier]
    logger.warn({ secrets }, `careless: ${secrets.join(' ')}`)
    const { files } = await diagnose(controlPlane)
    const all = [...files.values()].join('\n')
    expect(all).toMatch(/careless: \[secret\] \[secret\] \[secret\] \[secret\]/)
    for (const secret of secrets) expect(all).not.toContain(secret)
  })

  it('say why there are none, when the control plane does not take them', async () => {
    const { controlPlane } = await fleet.join()
    controlPlane.issueHttpToken()
    const id = randomUUID()
    controlPlane.send({ type: 'diagnose', id })
    const { frame } = await controlPlane.frame('diagnostics', (frame) => frame.id === id, 40_000)
    expect(frame).toMatchObject({ error: expect.stringMatching(/unauthenticated/) })
  }, 60_000)

  it('keep the last half megabyte of the log, and say how much is gone', () => {
    const log = new RecentLog()
    for (let i = 0; i < 10_000; i++) log.write(`${JSON.stringify({ msg: `line ${i} ${'x'.repeat(200)}` })}\n`)
    log.write('y'.repeat(1_000_000))
    const kept = log.lines().reduce((sum, line) => sum + line.length, 0)
    expect(kept).toBeLessThanOrEqual(512 * 1024)
    expect(kept).toBeGreaterThan(500 * 1024)
    expect(log.dropped + log.lines().length).toBe(10_001)
    expect(log.lines().at(-1)?.length).toBeLessThan(5_000)
  })

  it('know keys and tokens by their shape, and leave words that only look like them', () => {
    const key = `MC4CAQAwBQYDK2VwBCIEI${'A'.repeat(43)}=`
    expect(withoutSecrets(`a join_${'z'.repeat(32)} b ${key} c`, [])).toBe('a [secret] b [secret] c')
    expect(withoutSecrets('join_token, session_end', ['', 'none'])).toBe('join_token, session_end')
  })
})
