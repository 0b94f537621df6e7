import { stat } from 'node:fs/promises'
import { cpus, release } from 'node:os'
import type { RuntimeInfo } from '@skerry/contracts'
import type { Versions } from '../golden-log.ts'
import type { SystemFiles } from './system-files.ts'

/**
 * What a runtime's answers depend on here. The library is told by its size and time too: the version that somebody
 * gave for it does not change when its file does.
 */
export async function readVersions(
  { name, version }: RuntimeInfo,
  library: string | undefined,
  files: SystemFiles
): Promise<Versions> {
  const osRelease = await files.text('etc/os-release')
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1]
  const file = library === undefined ? null : await stat(library).catch(() => null)
  return {
    runtime: `${name} ${version}`,
    ...(file === null ? {} : { library: `${file.size} bytes of ${file.mtime.toISOString()}` }),
    node: process.versions.node,
    kernel: release(),
    cpu: cpus()[0]?.model.trim() || 'unknown',
    ...(system === undefined ? {} : { system })
  }
}
