import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { scriptsFolder } from './kept-folder.ts'
import type { ZooContext } from './zoo-model.ts'

const requirements = {
  models: '../python-requirements.txt',
  sounds: '../python-requirements-sounds.txt'
}

const installations = new Map<string, Promise<string>>()

/** A folder with the pinned packages in it, installed when it is not there yet. */
export function pythonPackages(context: ZooContext, what: keyof typeof requirements): Promise<string> {
  const running = installations.get(what) ?? install(context, what)
  installations.set(what, running)
  return running
}

async function install(context: ZooContext, what: keyof typeof requirements): Promise<string> {
  const file = path.join(scriptsFolder, requirements[what])
  const hash = createHash('sha256').update(await readFile(file))
  const folder = path.join(context.packagesDir, `${what}-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(folder)) return folder
  context.log(`installing the Python packages of ${what}`)
  const unfinished = `${folder}.${process.pid}`
  await mkdir(context.packagesDir, { recursive: true })
  try {
    const args = ['--no-deps', '--require-hashes', '--no-compile', '--target', unfinished, '-r', file]
    await promisify(execFile)(context.python, ['-m', 'pip', 'install', '--quiet', ...args])
    await rename(unfinished, folder)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return folder
}
