import fs from 'node:fs'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '../../..')

export const migrationsDir = path.join(root, 'prisma/migrations')

/** What set-up found and wrote to .tools/paths.json: absolute paths of what native tests need. */
export type ToolPaths = { python: string; liteRtLibrary: string; liteRtVersion: string; valkeyServer: string }

export function toolPaths(): ToolPaths {
  const file = path.join(root, '.tools/paths.json')
  if (!fs.existsSync(file)) throw new Error('set-up has not run: npm run setup')
  return JSON.parse(fs.readFileSync(file, 'utf8')) as ToolPaths
}

// The environment is how vitest's main process tells its workers, and how a developer names a Postgres or Valkey of
// their own.
const NAMES = { databaseUrl: 'SKERRY_TEST_DATABASE_URL', redisUrl: 'SKERRY_TEST_REDIS_URL' } as const

export function testUrl(which: keyof typeof NAMES): string {
  const url = process.env[NAMES[which]]
  if (url === undefined) throw new Error(`${NAMES[which]} is not set: vitest's globalSetup must name testkit's`)
  return url
}

export function isTestUrlSet(which: keyof typeof NAMES): boolean {
  return process.env[NAMES[which]] !== undefined
}

export function setTestUrl(which: keyof typeof NAMES, url: string): void {
  process.env[NAMES[which]] = url
}
