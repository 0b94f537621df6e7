import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)

/** A file inside an npm package, whatever the package exports. */
export function npmFile(packageName: string, file: string): string {
  for (const folder of require.resolve.paths(packageName) ?? []) {
    const root = path.join(folder, packageName)
    try {
      require.resolve(path.join(root, 'package.json'))
    } catch {
      continue
    }
    return path.join(root, file)
  }
  throw new Error(`The npm package ${packageName} is not installed.`)
}

/** A CommonJS module inside an npm package, as it exports itself. */
export const npmModule = (packageName: string, file: string): unknown => require(npmFile(packageName, file))

export const npmVersion = (packageName: string): string =>
  (JSON.parse(readFileSync(npmFile(packageName, 'package.json'), 'utf8')) as { version: string }).version
