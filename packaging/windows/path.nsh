; The user's PATH: a directory is added to it and removed again, and all else stays as it is, byte for byte.
; NSIS' own strings end after 1023 letters, and a PATH may be longer: it is read and written by Windows' functions.

; HKEY_CURRENT_USER; RRF_RT_REG_SZ, RRF_RT_REG_EXPAND_SZ and RRF_NOEXPAND; ERROR_FILE_NOT_FOUND (Windows SDK).
!define USER "p -2147483647"
!define AS_IT_IS "i 0x10000006"
!define NONE 2

; Into $5 a buffer with ";" PATH ";" and room for what is added, into $2 the value's type, into $0 what reading said.
!macro ReadPath DIR
  StrCpy $5 0
  System::Call 'advapi32::RegGetValueW(${USER}, w "Environment", w "Path", ${AS_IT_IS}, *i .r2, p 0, *i 0 r3) i .r0'
  ${If} $0 = 0
    IntOp $4 $3 + 4096
    System::Alloc $4
    Pop $5
    IntPtrOp $6 $5 + 2
    System::Call 'advapi32::RegGetValueW(${USER}, w "Environment", w "Path", ${AS_IT_IS}, *i .r2, p r6, *i r3 r3) i .r0'
    System::Call 'kernel32::RtlMoveMemory(p r5, w ";", p 2)'
    System::Call 'kernel32::lstrcatW(p r5, w ";") p'
    System::Call 'shlwapi::StrStrIW(p r5, w ";${DIR};") p .r7'
  ${EndIf}
!macroend

; Writes what is between the first and the last letter of the buffer, and tells programs that run.
!macro WritePath
  System::Call 'kernel32::lstrlenW(p r5) i .r3'
  ; Without the first ";", and with a zero in place of the last.
  IntOp $3 $3 - 1
  IntOp $3 $3 * 2
  IntPtrOp $6 $5 + $3
  System::Call '*$6(&i2 0)'
  IntPtrOp $6 $5 + 2
  System::Call 'advapi32::RegSetKeyValueW(${USER}, w "Environment", w "Path", i r2, p r6, i r3) i .r0'
  SendMessage ${HWND_BROADCAST} ${WM_SETTINGCHANGE} 0 "STR:Environment" /TIMEOUT=2000
!macroend

!macro AddToPath DIR
  !insertmacro ReadPath "${DIR}"
  ${If} $0 = ${NONE}
    WriteRegExpandStr HKCU "Environment" "Path" "${DIR}"
    SendMessage ${HWND_BROADCAST} ${WM_SETTINGCHANGE} 0 "STR:Environment" /TIMEOUT=2000
  ${ElseIf} $0 = 0
  ${AndIf} $7 P= 0
    System::Call 'kernel32::lstrcatW(p r5, w "${DIR};") p'
    !insertmacro WritePath
  ${EndIf}
  ${If} $5 P<> 0
    System::Free $5
  ${EndIf}
!macroend

!macro RemoveFromPath DIR
  !insertmacro ReadPath "${DIR}"
  ${If} $0 = 0
  ${AndIf} $7 P<> 0
    ; What follows the directory takes its place.
    StrLen $4 ";${DIR}"
    IntOp $4 $4 * 2
    IntPtrOp $6 $7 + $4
    System::Call 'kernel32::lstrlenW(p r6) i .r4'
    IntOp $4 $4 * 2
    IntOp $4 $4 + 2
    System::Call 'kernel32::RtlMoveMemory(p r7, p r6, p r4)'
    System::Call 'kernel32::lstrlenW(p r5) i .r4'
    ${If} $4 < 2
      DeleteRegValue HKCU "Environment" "Path"
    ${Else}
      !insertmacro WritePath
    ${EndIf}
  ${EndIf}
  ${If} $5 P<> 0
    System::Free $5
  ${EndIf}
!macroend
