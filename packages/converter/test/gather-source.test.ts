import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gatherSource } from '../src/gather-source.ts'
import { WorkFolder } from '../src/work-folder.ts'

describe('a source that is more than one file', () => {
  let folder = ''
  let runs = 0
  const model = { format: 'graph-model', weightsManifest: [{ paths: ['a.bin', 'b.bin'], weights: [] }] }
  const gather = async (sourcePath: string, format: 'tfjs' | 'keras' = 'tfjs') => {
    const workDir = path.join(folder, `work-${++runs}`)
    return gatherSource({ sourcePath, format, variants: [], workDir }, await WorkFolder.open(workDir))
  }

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'skerry-gather-'))
    await mkdir(path.join(folder, 'models'))
    await writeFile(path.join(folder, 'models/emotion.json'), JSON.stringify(model))
    for (const name of ['a.bin', 'b.bin', 'other.bin']) await writeFile(path.join(folder, 'models', name), name)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('is gathered: the model and its weights, and nothing that lies beside them', async () => {
    const gathered = await gather(path.join(folder, 'models/emotion.json'))
    expect((await readdir(gathered)).sort()).toEqual(['a.bin', 'b.bin', 'model.json'])
  })

  it('is one path where it is a folder or a file of another format', async () => {
    expect(await gather(path.join(folder, 'models'))).toBe(path.join(folder, 'models'))
    const file = path.join(folder, 'models/a.bin')
    expect(await gather(file, 'keras')).toBe(file)
  })

  it('is refused where weights are missing, and nothing stays', async () => {
    await rm(path.join(folder, 'models/b.bin'))
    await expect(gather(path.join(folder, 'models/emotion.json'))).rejects.toMatchObject({
      code: 'not-a-model',
      message: 'The weight file b.bin of the model is missing.'
    })
    expect(await readdir(folder)).not.toContain(`work-${runs}`)
  })
})
