const path = require('node:path');
const {getDefaultConfig, mergeConfig} = require('@react-native/metro-config');

// The app is one package of a workspace: most of what it needs lies one folder up.
const workspace = path.resolve(__dirname, '..');

module.exports = mergeConfig(getDefaultConfig(__dirname), {
  watchFolders: [workspace],
  resolver: {nodeModulesPaths: [path.join(__dirname, 'node_modules'), path.join(workspace, 'node_modules')]},
});
