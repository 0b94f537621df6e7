// Builds @tensorflow/tfjs-node's native binding against the libraries of the TensorFlow wheel, with one compiler call.
// Its own install script downloads libtensorflow instead, and stays off. Does nothing when the build is current.
// Usage: node scripts/build-tfjs-node.mjs PYTHON
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const fail = (message) => {
  console.error(message)
  process.exit(1)
}

const python = process.argv[2]
if (python === undefined) fail('usage: build-tfjs-node.mjs PYTHON')

const root = path.resolve(import.meta.dirname, '..')
const require = createRequire(path.join(root, 'packages/converter/package.json'))
const packageDir = path.dirname(require.resolve('@tensorflow/tfjs-node/package.json'))

// find_spec locates the wheel without importing it, which would take seconds.
const locate = 'import importlib.util as u; print(u.find_spec("tensorflow").submodule_search_locations[0])'
const probe = spawnSync(python, ['-c', locate], { encoding: 'utf8' })
if (probe.status !== 0) fail(`tfjs-node: ${python} has no tensorflow, which the binding is built against`)
const wheel = probe.stdout.trim()
const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'].map((name) => path.join(wheel, name))
for (const library of libraries) if (!existsSync(library)) fail(`tfjs-node: the tensorflow wheel has no ${library}`)

// Node-API is stable across Node versions: one build serves Node 20 and 22.
const napi = Math.min(8, Number(process.versions.napi))
const binding = path.join(packageDir, `lib/napi-v${napi}/tfjs_binding.node`)
const stamp = path.join(packageDir, 'lib/.skerry-built')
const { version } = JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8'))
// The size tells one TensorFlow from another that was installed over it.
const built = JSON.stringify({ version, napi, wheel, libraryBytes: statSync(libraries[0]).size })
if (existsSync(binding) && existsSync(stamp) && readFileSync(stamp, 'utf8') === built) {
  console.log('tfjs-node: current')
  process.exit(0)
}

const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find(
  (name) => name !== undefined && spawnSync(name, ['--version']).status === 0
)
if (compiler === undefined) fail('tfjs-node: a C++ compiler is needed (Debian: apt install g++)')

const nodeHeaders = path.resolve(process.execPath, '../../include/node')
const headers = existsSync(path.join(nodeHeaders, 'node_api.h'))
  ? nodeHeaders
  : path.join(path.dirname(require.resolve('node-api-headers/package.json')), 'include')

// tfjs-node reads its library folder at start to find the shared libraries by these names.
const libraryDir = path.join(packageDir, 'deps/lib')
mkdirSync(libraryDir, { recursive: true })
mkdirSync(path.dirname(binding), { recursive: true })
const link = (target, at) => {
  rmSync(at, { force: true, recursive: true })
  symlinkSync(target, at)
}
link(path.join(wheel, 'include'), path.join(packageDir, 'deps/include'))
for (const library of libraries) {
  link(library, path.join(libraryDir, path.basename(library)))
}
link(libraries[0], path.join(libraryDir, 'libtensorflow.so'))
link(libraries[1], path.join(libraryDir, 'libtensorflow_framework.so'))

const partial = `${binding}.partial`
const compile = spawnSync(
  compiler,
  [
    ...['-std=c++17', '-O2', '-fPIC', '-shared', '-w'],
    ...[`-DNAPI_VERSION=${napi}`, '-DNODE_GYP_MODULE_NAME=tfjs_binding', '-DBUILDING_NODE_EXTENSION'],
    ...['-I', headers, '-I', path.dirname(packageDir), '-I', path.join(wheel, 'include')],
    path.join(packageDir, 'binding/tfjs_backend.cc'),
    path.join(packageDir, 'binding/tfjs_binding.cc'),
    ...['-o', partial, ...libraries, `-Wl,-rpath,${wheel}`]
  ],
  { encoding: 'utf8' }
)
if (compile.status !== 0) {
  rmSync(partial, { force: true })
  const words = compile.stderr || compile.error?.message || `exit ${compile.status ?? compile.signal}`
  fail(`tfjs-node: the build failed\n${words.split('\n').slice(-30).join('\n')}`)
}
renameSync(partial, binding)
writeFileSync(stamp, built)
console.log(`tfjs-node: built ${path.relative(root, binding)}`)
