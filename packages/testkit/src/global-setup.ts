import type { Service } from '@skerry/embedded'
import { isTestUrlSet, setTestUrl } from './config.ts'
import { makeTemplate } from './databases.ts'
import { removeLeftovers, startTestPostgres, startTestValkey } from './services.ts'

/**
 * vitest's globalSetup: one Postgres and one Valkey for the whole run, unless SKERRY_TEST_DATABASE_URL or
 * SKERRY_TEST_REDIS_URL name others. Answers the teardown.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const started: Service[] = []
  const teardown = async (): Promise<void> => {
    await Promise.all(started.map((service) => service.stop()))
  }
  await removeLeftovers()
  try {
    if (!isTestUrlSet('databaseUrl')) {
      const postgres = await startTestPostgres()
      started.push(postgres)
      setTestUrl('databaseUrl', postgres.url)
    }
    if (!isTestUrlSet('redisUrl')) {
      const valkey = await startTestValkey()
      started.push(valkey)
      setTestUrl('redisUrl', valkey.url)
    }
    await makeTemplate()
    return teardown
  } catch (error) {
    await teardown()
    throw error
  }
}
