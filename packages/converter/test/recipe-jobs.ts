import { execFile } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { recordAttempt } from '../src/attempt-log.ts'
import { contentHash } from '../src/content-hash.ts'
import { parseRecipe } from '../src/index.ts'
import type { Attempt, Recipe } from '../src/types.ts'
import { python } from './real-parts.ts'

const here = path.dirname(fileURLToPath(import.meta.url))

export type Job = {
  sourcePath: string
  format: 'keras' | 'savedmodel'
  recipes: readonly (string | Recipe)[]
  workDir: string
  calibrationPath?: string
  evaluationPath?: string
  preprocessing?: object
  labels?: readonly string[]
  withReference?: boolean
}

type Event = { event: string; id: number } & Record<string, unknown>

export type MadeVariant = { path?: string; options?: Record<string, unknown>; error?: string; attempts: Attempt[] }

export type Answer = {
  variants: Map<string, MadeVariant>
  exported: Record<string, unknown>
  described: Record<string, unknown>
  warnings: string[]
}

/** Runs the jobs one after the other in one Python process (run-jobs.py), without sandbox. */
export async function runJobs(jobs: readonly Job[]): Promise<Answer[]> {
  const requests = await Promise.all(
    jobs.map(async (job, id) => ({
      ...job,
      id,
      sourceSha256: (await contentHash(job.sourcePath)).sha256,
      recipes: job.recipes.map((each) => (typeof each === 'string' ? parseRecipe(each) : each))
    }))
  )
  const run = promisify(execFile)
  const { stdout } = await run(python, [path.join(here, 'run-jobs.py'), JSON.stringify(requests)], {
    maxBuffer: 64 << 20
  })
  const answers: Answer[] = jobs.map(() => ({ variants: new Map(), exported: {}, described: {}, warnings: [] }))
  for (const line of stdout.split('\n').filter((each) => each !== '')) {
    const { id, event, ...fields } = JSON.parse(line) as Event
    const answer = answers[id]
    if (answer === undefined) continue
    const name = String(fields.variant)
    const made = answer.variants.get(name) ?? { attempts: [] }
    if (event === 'error') throw new Error(`${fields.code}: ${fields.message}`)
    if (event === 'attempt') {
      recordAttempt(made.attempts, fields as unknown as Attempt)
      answer.variants.set(name, made)
    }
    if (event === 'variant') answer.variants.set(name, { ...made, ...(fields as Omit<MadeVariant, 'attempts'>) })
    if (event === 'exported') answer.exported = fields
    if (event === 'described') answer.described = fields
    if (event === 'warning') answer.warnings.push(String(fields.message))
  }
  return answers
}

export function made(answer: Answer | undefined, name: string): MadeVariant {
  const found = answer?.variants.get(name)
  if (found === undefined) throw new Error(`no variant ${name}`)
  return found
}

export function madePath(answer: Answer | undefined, name: string): string {
  const { path: file, error } = made(answer, name)
  if (file === undefined) throw new Error(`${name} was not made: ${error}`)
  return file
}
