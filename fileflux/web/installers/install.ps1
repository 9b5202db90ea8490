# Installs a FileFlux agent from the hub that served this script, on Windows, with PowerShell 5.1 or newer:
#
#   & ([scriptblock]::Create((Invoke-RestMethod @HUB@/install.ps1))) -TokenFile FILE -Read DIR -Write DIR
#
# The agent cannot run on Windows yet: the part of it that opens files below its directories exists for Linux and macOS only. This script
# installs the program and writes its configuration, so that both are ready, and says so at its end.
#
# Everything is in functions, and nothing is called before the last line: a script that was cut off is a syntax error and runs nothing.
param(
    [string] $TokenFile = '',
    [string[]] $Read = @(),
    [string[]] $Write = @(),
    [string] $Name = '',
    [string] $Hub = '@HUB@',
    [string] $CaFile = '',
    [switch] $Insecure,
    [string] $Prefix = '',
    [string] $Wheelhouse = '',
    [switch] $Uninstall
)

function Invoke-Program {
    # Runs a program with its output on the screen and returns its exit code. What it writes to stderr is no error of this script.
    param([string] $Program, [string[]] $Arguments)
    $ErrorActionPreference = 'Continue'
    & $Program @Arguments | Out-Host
    return $LASTEXITCODE
}

function Find-Python {
    # The program and its first arguments, as one list.
    foreach ($candidate in @(@('py', '-3'), @('python'), @('python3'))) {
        if (-not (Get-Command $candidate[0] -CommandType Application -ErrorAction SilentlyContinue)) { continue }
        $rest = @($candidate | Select-Object -Skip 1) + @('-c', 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))')
        if ((Invoke-Program $candidate[0] $rest) -eq 0) { return $candidate }
    }
    throw 'Python 3.11 or newer is needed: install it from python.org or the Microsoft Store and run this again'
}

function Read-Token {
    param([string] $Path)
    if (-not [Environment]::UserInteractive -or [Console]::IsInputRedirected) {
        throw 'no token: give -TokenFile FILE; the hub shows a token with: fileflux tokens create'
    }
    $secret = Read-Host -AsSecureString 'Token of this agent (from "fileflux tokens create" at the hub)'
    if ($secret.Length -eq 0) { throw 'no token was given: run this again' }
    $pointer = [Runtime.InteropServices.Marshal]::SecureStringToBSTR($secret)
    try {
        [IO.File]::WriteAllText($Path, [Runtime.InteropServices.Marshal]::PtrToStringBSTR($pointer))
    } finally {
        [Runtime.InteropServices.Marshal]::ZeroFreeBSTR($pointer)
    }
}

function Read-Roots {
    param([string] $Kind)
    while ($true) {
        $answer = Read-Host "A directory that jobs may $Kind (empty: no more)"
        if ($answer -eq '') { return }
        if (Test-Path -LiteralPath $answer -PathType Container) { Resolve-Plain $answer } else { Write-Host "$answer is not a directory" }
    }
}

function Resolve-Plain {
    # An absolute path without a backslash behind it, which would hide the quote that follows on a command line. A drive keeps its own.
    param([string] $Path)
    $full = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path)
    if ($full -match '^[A-Za-z]:\\$') { return $full }
    return $full.TrimEnd('\')
}

function Protect-Folder {
    # Only this user, the system and administrators may enter.
    param([string] $Path)
    New-Item -ItemType Directory -Force -Path $Path | Out-Null
    $me = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
    $rights = @("*${me}:(OI)(CI)F", '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F')
    if ((Invoke-Program 'icacls' (@($Path, '/inheritance:r', '/grant:r') + $rights + @('/q'))) -ne 0) {
        throw "cannot restrict $Path to this user: see above"
    }
}

function Remove-FluxAgent {
    param([string] $Prefix)
    if (-not (Test-Path -LiteralPath "$Prefix\.fileflux-agent")) {
        throw "there is no agent in ${Prefix}: give the -Prefix that it was installed with"
    }
    foreach ($own in @('venv', 'config', '.fileflux-agent')) {
        if (Test-Path -LiteralPath "$Prefix\$own") { Remove-Item -Recurse -Force -LiteralPath "$Prefix\$own" }
    }
    if (-not (Get-ChildItem -Force -LiteralPath $Prefix)) { Remove-Item -LiteralPath $Prefix }
    Write-Host "the agent in $Prefix is removed"
}

function Install-FluxAgent {
    param(
        [string] $TokenFile, [string[]] $Read, [string[]] $Write, [string] $Name, [string] $Hub, [string] $CaFile,
        [bool] $Insecure, [string] $Prefix, [string] $Wheelhouse, [bool] $Uninstall
    )
    $ErrorActionPreference = 'Stop'
    $wheel = '@WHEEL@'
    $version = '@VERSION@'
    $sha256 = '@SHA256@'
    if ($PSVersionTable.PSEdition -eq 'Core' -and -not $IsWindows) { throw "this is for Windows: here use $Hub/install.sh" }
    if ($Prefix -eq '') { $Prefix = "$env:LOCALAPPDATA\fileflux-agent" }
    $Prefix = Resolve-Plain $Prefix
    if ($Uninstall) { return Remove-FluxAgent $Prefix }

    $Hub = $Hub.TrimEnd('/')
    if ($Hub -notmatch '^https?://') { throw "-Hub $Hub does not begin with http:// or https://" }
    foreach ($path in @($Read) + @($Write)) {
        if (-not (Test-Path -LiteralPath $path -PathType Container)) { throw "${path}: this is not a directory; make it first or correct the path" }
    }
    foreach ($path in @($TokenFile, $CaFile)) {
        if ($path -ne '' -and -not (Test-Path -LiteralPath $path -PathType Leaf)) { throw "cannot read the file $path" }
    }
    $python = @(Find-Python)
    $first = @($python | Select-Object -Skip 1)
    if (-not (Test-Path -LiteralPath "$Prefix\.fileflux-agent")) {
        if ((Test-Path -LiteralPath $Prefix) -and (Get-ChildItem -Force -LiteralPath $Prefix)) {
            throw "$Prefix holds other files: give -Prefix a new or empty directory"
        }
        New-Item -ItemType Directory -Force -Path $Prefix | Out-Null
        New-Item -ItemType File -Path "$Prefix\.fileflux-agent" | Out-Null
    }
    Protect-Folder "$Prefix\config"
    $work = "$Prefix\config\work"
    if (Test-Path -LiteralPath $work) { Remove-Item -Recurse -Force -LiteralPath $work }
    New-Item -ItemType Directory -Path $work | Out-Null
    try {
        $settings = @("--prefix=$Prefix", "--hub=$Hub")
        if (-not (Test-Path -LiteralPath "$Prefix\config\flux-agent.yaml")) {
            if ($TokenFile -eq '') {
                $TokenFile = "$work\token"
                Read-Token $TokenFile
                if ($Read.Count + $Write.Count -eq 0) {
                    $Read = @(Read-Roots 'read')
                    $Write = @(Read-Roots 'write')
                }
            }
        }
        if ($TokenFile -ne '') { $settings += "--token-from=$(Resolve-Plain $TokenFile)" }
        if ($CaFile -ne '') { $settings += "--ca-file=$(Resolve-Plain $CaFile)" }
        if ($Name -ne '') { $settings += "--name=$Name" }
        if ($Insecure) { $settings += '--insecure' }
        foreach ($path in $Read) { $settings += "--read=$(Resolve-Plain $path)" }
        foreach ($path in $Write) { $settings += "--write=$(Resolve-Plain $path)" }

        Write-Host "installing flux-agent $version from $Hub"
        # Python downloads and checks: it takes a CA from a file, and trusts and refuses the same as the agent does.
        [IO.File]::WriteAllLines("$work\fetch.py", @(
            'import hashlib, ssl, sys, urllib.request',
            'url, path, sha256, *ca_file = sys.argv[1:]',
            'context = ssl.create_default_context(cafile=ca_file[0] if ca_file else None)',
            'try:',
            '    with urllib.request.urlopen(url, timeout=60, context=context) as answer:',
            '        content = answer.read(67108864)',
            'except (OSError, ValueError) as error:',
            '    sys.exit(str(error))',
            'if hashlib.sha256(content).hexdigest() != sha256:',
            '    sys.exit("this is not the wheel that the script was made for: fetch the script again and run it")',
            'with open(path, "wb") as file:',
            '    file.write(content)'
        ))
        $fetch = $first + @("$work\fetch.py", "$Hub/install/$wheel", "$work\$wheel", $sha256)
        if ($CaFile -ne '') { $fetch += Resolve-Plain $CaFile }
        if ((Invoke-Program $python[0] $fetch) -ne 0) { throw "cannot download $Hub/install/${wheel}: see above; is a -CaFile needed?" }

        $inside = "$Prefix\venv\Scripts\python.exe"
        if ((Invoke-Program $python[0] ($first + @('-m', 'venv', "$Prefix\venv"))) -ne 0) {
            throw "cannot make a virtual environment in $Prefix\venv: end an agent that runs from it and run this again"
        }
        $pip = @('-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input')
        if ($Wheelhouse -ne '') { $pip += @('--no-index', '--find-links', (Resolve-Plain $Wheelhouse)) }
        if ((Invoke-Program $inside ($pip + @("$work\$wheel"))) -ne 0) {
            throw 'pip cannot install the packages that the agent needs: see above; without an index give -Wheelhouse DIR'
        }
        # The same version may have other content, and the first call brought what it needs.
        if ((Invoke-Program $inside ($pip + @('--no-deps', '--force-reinstall', "$work\$wheel"))) -ne 0) {
            throw 'pip cannot install the agent: see above'
        }
        if ((Invoke-Program $inside (@('-m', 'fileflux.web.installers.configure', 'write') + $settings)) -ne 0) {
            throw 'the agent is not configured: see above, and run this again'
        }
    } finally {
        Remove-Item -Recurse -Force -LiteralPath $work
    }
    Write-Host "flux-agent $version is installed: $Prefix\venv\Scripts\flux-agent.exe"
    Write-Host "its configuration: $Prefix\config\flux-agent.yaml"
    Write-Warning 'the agent cannot run on Windows yet; install it on Linux or macOS to move files now'
}

$given = @{
    TokenFile = $TokenFile; Read = $Read; Write = $Write; Name = $Name; Hub = $Hub; CaFile = $CaFile
    Insecure = [bool] $Insecure; Prefix = $Prefix; Wheelhouse = $Wheelhouse; Uninstall = [bool] $Uninstall
}
& { Install-FluxAgent @given }
