import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Stack } from './stack.ts'

const command = path.resolve(import.meta.dirname, '../apps/cli/dist/main.js')

/** What `skerry ARGS` prints, against this stack; rejects with what it says when it fails. */
export async function skerry(stack: Stack, ...args: string[]): Promise<string> {
  const env = { PATH: process.env.PATH ?? '', SKERRY_URL: stack.url, SKERRY_KEY: stack.key }
  return (await promisify(execFile)(process.execPath, [command, ...args], { env })).stdout
}
