; The installer for Windows, for one user: made by `cargo xtask cross --windows`, which defines VERSION, HOMEPAGE, FILES and OUTPUT.
; It asks for no administrator, stops an agent that runs before it replaces it, and leaves configuration and keys alone.
Target amd64-unicode
SetCompressor zlib
Name "ormesh"
OutFile "${OUTPUT}"
RequestExecutionLevel user
InstallDir "$LOCALAPPDATA\Programs\ormesh"
InstallDirRegKey HKCU "Software\ormesh" "InstallDir"
ShowInstDetails nevershow
VIProductVersion "${VERSION}.0"
VIAddVersionKey ProductName "ormesh"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileDescription "A private mesh of hosts over Tor"
VIAddVersionKey LegalCopyright "Apache-2.0 or MIT"

!include LogicLib.nsh
!include FileFunc.nsh
!include Sections.nsh
!include WinMessages.nsh
!include path.nsh
!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\ormesh"
!define RUN "Software\Microsoft\Windows\CurrentVersion\Run"

Page components
Page directory
Page instfiles
UninstPage uninstConfirm
UninstPage instfiles

; What runs holds its files: the app is ended, the agent is asked to end, again where it is busy. Code 3 is that none runs, and where the
; program can't be started at all, what is there is broken and has no agent.
!macro Stop
  ${If} ${FileExists} "$INSTDIR\ormesh.exe"
    nsExec::Exec '"$SYSDIR\taskkill.exe" /IM ormesh-desktop.exe'
    Pop $0
    ${For} $1 1 5
      nsExec::Exec '"$INSTDIR\ormesh.exe" agent stop'
      Pop $0
      ${If} $0 == 0
      ${OrIf} $0 == 3
      ${OrIf} $0 == "error"
        ${Break}
      ${EndIf}
      Sleep 1000
    ${Next}
    ${If} $0 != 0
    ${AndIf} $0 != 3
    ${AndIf} $0 != "error"
      SetErrorLevel 2
      MessageBox MB_OK|MB_ICONSTOP "The agent of ormesh could not be ended. Nothing was changed. End it by: ormesh agent stop" /SD IDOK
      Quit
    ${EndIf}
  ${EndIf}
!macroend
; A file that can't be replaced ends a silent installation instead of asking.
AllowSkipFiles off

Section "ormesh"
  SectionIn RO
  !insertmacro Stop
  SetOutPath "$INSTDIR"
  File "${FILES}\ormesh.exe"
  File "${FILES}\ormesh-desktop.exe"
  File "${FILES}\ormesh-tor.exe"
  File "${FILES}\WebView2Loader.dll"
  File "${FILES}\LICENCES-tor.txt"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  CreateShortcut "$SMPROGRAMS\ormesh.lnk" "$INSTDIR\ormesh-desktop.exe"
  WriteRegStr HKCU "Software\ormesh" "InstallDir" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayName" "ormesh"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayIcon" "$INSTDIR\ormesh-desktop.exe"
  WriteRegStr HKCU "${UNINSTALL}" "Publisher" "ormesh"
  WriteRegStr HKCU "${UNINSTALL}" "URLInfoAbout" "${HOMEPAGE}"
  WriteRegStr HKCU "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL}" "NoRepair" 1
SectionEnd

; Those two are chosen, or by /NOPATH and /NOLOGIN left out. An upgrade leaves them as the user has them by now.
Section "The command ormesh in PATH" PATH
SectionEnd
Section "Start ormesh at login" LOGIN
SectionEnd
Section "-chosen"
  ${If} ${SectionIsSelected} ${PATH}
    !insertmacro AddToPath "$INSTDIR"
    WriteRegDWORD HKCU "Software\ormesh" "InPath" 1
  ${Else}
    !insertmacro RemoveFromPath "$INSTDIR"
    WriteRegDWORD HKCU "Software\ormesh" "InPath" 0
  ${EndIf}
  ${If} ${SectionIsSelected} ${LOGIN}
    ; As the app itself writes it, so its settings show and change it.
    WriteRegStr HKCU "${RUN}" "ormesh" '"$INSTDIR\ormesh-desktop.exe" --hidden'
  ${Else}
    DeleteRegValue HKCU "${RUN}" "ormesh"
  ${EndIf}
SectionEnd

Function .onInit
  ReadRegStr $0 HKCU "Software\ormesh" "InstallDir"
  ${If} $0 != ""
    ReadRegDWORD $0 HKCU "Software\ormesh" "InPath"
    ${If} $0 = 0
      !insertmacro UnselectSection ${PATH}
    ${EndIf}
    ReadRegStr $0 HKCU "${RUN}" "ormesh"
    ${If} $0 == ""
      !insertmacro UnselectSection ${LOGIN}
    ${EndIf}
  ${EndIf}
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/NOPATH" $1
  ${IfNot} ${Errors}
    !insertmacro UnselectSection ${PATH}
  ${EndIf}
  ClearErrors
  ${GetOptions} $0 "/NOLOGIN" $1
  ${IfNot} ${Errors}
    !insertmacro UnselectSection ${LOGIN}
  ${EndIf}
FunctionEnd

; Configuration, state and keys stay: who installs it again has the same addresses.
Section "un.ormesh"
  !insertmacro Stop
  Delete "$INSTDIR\ormesh.exe"
  Delete "$INSTDIR\ormesh-desktop.exe"
  Delete "$INSTDIR\ormesh-tor.exe"
  Delete "$INSTDIR\WebView2Loader.dll"
  Delete "$INSTDIR\LICENCES-tor.txt"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\ormesh.lnk"
  !insertmacro RemoveFromPath "$INSTDIR"
  DeleteRegValue HKCU "${RUN}" "ormesh"
  DeleteRegKey HKCU "${UNINSTALL}"
  DeleteRegKey HKCU "Software\ormesh"
SectionEnd
