import { fileURLToPath } from 'node:url'

/** The folder with the Python code, for both src/ and dist/. */
export const pythonFolder = fileURLToPath(new URL('../python', import.meta.url))

/** Not the current folder on the module path (-P), no user packages (-s), nothing written beside the sources (-B). */
export const pythonArguments = (...args: readonly string[]): string[] => ['-P', '-s', '-B', ...args]

/** What every Python process here gets of the environment: nothing of the caller's, and no place to write but `folder`. */
export function pythonEnvironment(folder: string): Record<string, string> {
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LANG: 'C.UTF-8',
    PYTHONUTF8: '1',
    PYTHONPATH: pythonFolder,
    HOME: folder,
    KERAS_HOME: folder,
    TMPDIR: folder
  }
}
