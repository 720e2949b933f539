import {useEffect, useState} from 'react';
import {Platform, Pressable, ScrollView, StyleSheet, Text, TextInput, useColorScheme, View} from 'react-native';
import {Price} from './Price';
import {nothingYet, run, type Result, type Scenario} from './runner';
import {scenarios} from './scenarios';
import {defaultDSN, startTelemetry, type Running} from './telemetry';

const symbols = {waiting: '…', done: '✓', failed: '✗'} as const;
const words: Record<Result['state'], string> = {idle: 'not tried yet', running: 'running', passed: 'as it should be', failed: 'not as it should be'};

const light = {paper: '#f6f7f9', card: '#ffffff', ink: '#1b2733', soft: '#54616e', line: '#d5dbe1', sea: '#0b6286', onSea: '#ffffff'};
const dark: typeof light = {paper: '#14181d', card: '#1c2229', ink: '#e6ebf0', soft: '#a3afbb', line: '#35404b', sea: '#59b8dd', onSea: '#0c1a22'};

interface Look {
  colors: typeof light;
}

function Button({label, hint, onPress, disabled = false, colors, testID}: Look & {label: string; hint?: string; onPress: () => void; disabled?: boolean; testID: string}) {
  return (
    <Pressable
      testID={testID} accessibilityRole="button" accessibilityHint={hint ?? ''} accessibilityState={{disabled}} disabled={disabled} onPress={onPress}
      style={[styles.button, {backgroundColor: disabled ? colors.line : colors.sea}]}
    >
      <Text style={[styles.buttonText, {color: disabled ? colors.soft : colors.onSea}]}>{label}</Text>
    </Pressable>
  );
}

function Card({scenario, running, native, colors}: Look & {scenario: Scenario; running: Running; native: boolean}) {
  const [result, setResult] = useState(nothingYet);
  const cannot = scenario.phone === true && !native;
  return (
    <View style={[styles.card, {backgroundColor: colors.card, borderColor: colors.line}]} testID={`card-${scenario.id}`}>
      <Text accessibilityRole="header" style={[styles.title, {color: colors.ink}]}>{scenario.title}</Text>
      <Text style={{color: colors.soft}}>{scenario.says}</Text>
      {scenario.id === 'render-error' && <Price />}
      <Button
        testID={scenario.id} label={scenario.button} hint={scenario.says} colors={colors} disabled={cannot || result.state === 'running'}
        onPress={() => void run(scenario, running, setResult)}
      />
      <Text testID={`state-${scenario.id}`} accessibilityLiveRegion="polite" style={{color: colors.soft}}>
        {cannot ? 'needs a phone with the native SDK' : words[result.state]}
      </Text>
      {result.steps.map((s, i) => (
        <Text key={i} style={{color: colors.ink}}>{symbols[s.state]} {s.what}{s.detail ? `: ${s.detail}` : ''}</Text>
      ))}
    </View>
  );
}

/** The app. `dsn` and `native` are for tests; on a phone the first is typed in and the second is true. */
export function App({dsn = defaultDSN(Platform.OS), native = true}: {dsn?: string; native?: boolean}) {
  const colors = useColorScheme() === 'dark' ? dark : light;
  const [typed, type] = useState(dsn);
  const [running, setRunning] = useState<Running>();
  useEffect(() => {
    running?.beacon.appStarted();
  }, [running]);
  const connect = (release: string) => void startTelemetry(typed.trim(), release, native).then(setRunning);
  return (
    <ScrollView style={{backgroundColor: colors.paper}} contentContainerStyle={styles.page} keyboardShouldPersistTaps="handled">
      <Text accessibilityRole="header" style={[styles.heading, {color: colors.ink}]}>Harbour shop</Text>
      <Text style={{color: colors.soft}}>Each button does something that real apps do. The sentence says what should happen; the lines below it say what did.</Text>
      <TextInput
        testID="dsn" accessibilityLabel="DSN of the gateway" value={typed} onChangeText={type} autoCapitalize="none" autoCorrect={false}
        style={[styles.input, {color: colors.ink, borderColor: colors.soft}]}
      />
      <View style={styles.row}>
        {['shop@1.4.1', 'shop@1.4.2'].map((r) => (
          <Button key={r} testID={`release-${r}`} colors={colors} label={`${running ? 'Switch to' : 'Start'} ${r.split('@')[1]}`} disabled={running?.release === r} onPress={() => connect(r)} />
        ))}
      </View>
      <Text testID="running" style={{color: colors.soft}}>{running ? `Release ${running.release} reports to ${running.dsn}` : 'Not started'}</Text>
      {running && scenarios.map((s) => <Card key={s.id} scenario={s} running={running} native={native} colors={colors} />)}
    </ScrollView>
  );
}

const styles = StyleSheet.create({
  page: {padding: 16, gap: 12},
  heading: {fontSize: 24, fontWeight: '700'},
  title: {fontSize: 17, fontWeight: '600'},
  card: {borderWidth: 1, borderRadius: 10, padding: 14, gap: 8},
  row: {flexDirection: 'row', gap: 8},
  input: {borderWidth: 1, borderRadius: 6, padding: 10},
  button: {borderRadius: 6, paddingVertical: 12, paddingHorizontal: 16, alignSelf: 'flex-start'},
  buttonText: {fontWeight: '600'},
});
