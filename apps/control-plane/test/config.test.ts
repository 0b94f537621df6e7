import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { expect, it } from 'vitest'
import { readConfig } from '../src/config.ts'

const stores = { SKERRY_DATABASE_URL: 'postgresql://x', SKERRY_REDIS_URL: 'redis://x' }

it('offers the LiteRT library of its own set-up, those that are named instead, or none', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'skerry-config-'))
  const tools = path.join(folder, 'paths.json')
  const offered = (more: object) => readConfig({ ...stores, SKERRY_TOOLS: tools, ...more }).liteRtLibraries
  expect(offered({})).toEqual([])
  await writeFile(tools, JSON.stringify({ liteRtLibrary: '/env/libLiteRt.so', liteRtVersion: '2.3.0' }))
  expect(offered({})).toEqual([{ version: '2.3.0', path: '/env/libLiteRt.so' }])
  expect(offered({ SKERRY_LITERT_LIBRARIES: '2.3.0=/a.so,2.4.0=/b=c.so' })).toEqual([
    { version: '2.3.0', path: '/a.so' },
    { version: '2.4.0', path: '/b=c.so' }
  ])
  expect(offered({ SKERRY_LITERT_LIBRARIES: '' })).toEqual([])
  expect(() => offered({ SKERRY_LITERT_LIBRARIES: '/a.so' })).toThrow(/VERSION=PATH/)
  await rm(folder, { recursive: true })
})

it('refuses a public address that is none', () => {
  expect(readConfig({ ...stores, SKERRY_PUBLIC_URL: 'https://skerry.example/' }).publicUrl).toBe(
    'https://skerry.example'
  )
  expect(() => readConfig({ ...stores, SKERRY_PUBLIC_URL: 'skerry.example' })).toThrow(/SKERRY_PUBLIC_URL/)
})

it('takes weights of scores, and refuses what is none', () => {
  const weights = (text: string) => readConfig({ ...stores, SKERRY_SCORE_WEIGHTS: text }).scheduling.weights
  expect(weights('device.energy=0.5, work.fairness=1')).toMatchObject({
    device: { energy: 0.5, certainty: 2 },
    work: { fairness: 1, age: 5 }
  })
  expect(readConfig(stores).scheduling.weights).toBeUndefined()
  for (const wrong of ['energy=1', 'device.enregy=1', 'device.energy=', 'work.age=1.2.3'])
    expect(() => weights(wrong)).toThrow(/SKERRY_SCORE_WEIGHTS/)
})
