# Checks whether this PC goes out by the gate, and not past it. Made by `sekisho clients windows --script`.
#
#   powershell -ExecutionPolicy Bypass -File check.ps1                      as the person who uses the PC
#   powershell -ExecutionPolicy Bypass -File check.ps1 -Outside ADDRESS     tries too to reach an address outside past
#                                                                           the gate, which must fail
#
# Exit code 0: all is as it should be; 1: something is not, and the lines say what. Nothing is changed.
param([string]$Outside = '')
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$gate = @gate@
$url = @url@
@if pac@
$pac = @pac@
@end@
@if ca_sha1@
$caSubject = @ca_subject@
$caThumbprint = @ca_sha1@
@end@
@if contact@
$contact = @contact@
@end@
# Nobody has this name: only the gate itself can answer for it.
$asked = 'http://check.sekisho.invalid/'
$script:wrong = 0

function Write-Good([string]$text) { Write-Output ('ok     ' + $text) }
function Write-Note([string]$text) { Write-Output ('note   ' + $text) }
function Write-Wrong([string]$text) {
    $script:wrong++
    Write-Output ('WRONG  ' + $text)
}

# A value of the registry; nothing where there is none.
function Get-Setting([string]$path, [string]$name) {
    $key = Get-Item -LiteralPath $path -ErrorAction SilentlyContinue
    if ($null -eq $key) { return $null }
    return $key.GetValue($name)
}

# What answers to a request by this proxy says of itself; nothing where nothing answers.
function Get-ProxyStatus($proxy) {
    $request = [System.Net.HttpWebRequest]::Create($asked)
    $request.Proxy = $proxy
    $request.Timeout = 10000
    $response = $null
    try {
        $response = $request.GetResponse()
    } catch {
        # The gate refuses the name: that is an error here, with the answer in it.
        $cause = $_.Exception
        while ($null -ne $cause -and -not ($cause -is [System.Net.WebException])) { $cause = $cause.InnerException }
        if ($null -ne $cause) { $response = $cause.Response }
    }
    if ($null -eq $response) { return $null }
    $status = [string]$response.Headers['Proxy-Status']
    $response.Close()
    return $status
}

function Test-Reached([string]$address, [int]$port) {
    $ip = [System.Net.IPAddress]::Parse($address)
    $client = New-Object System.Net.Sockets.TcpClient($ip.AddressFamily)
    try {
        $begun = $client.BeginConnect($ip, $port, $null, $null)
        if (-not $begun.AsyncWaitHandle.WaitOne(5000)) { return $false }
        $client.EndConnect($begun)
        return $true
    } catch {
        return $false
    } finally {
        $client.Close()
    }
}

# What Windows, its browsers and .NET take.
$system = [System.Net.WebRequest]::GetSystemWebProxy()
foreach ($target in 'http://www.example.com/', 'https://www.example.com/') {
    $taken = $system.GetProxy([uri]$target)
    # Where no proxy is taken, it is the target itself that comes back, or nothing.
    if ($null -eq $taken -or $taken -eq [uri]$target) {
        Write-Wrong ('for ' + $target + ' the system takes no proxy')
    } elseif ($taken.Authority -eq ([uri]$url).Authority) {
        Write-Good ('for ' + $target + ' the system takes the gate')
    } else {
        Write-Wrong ('for ' + $target + ' the system takes ' + $taken.Authority + ', and not the gate')
    }
}

$user = 'HKCU:\Software\Microsoft\Windows\CurrentVersion\Internet Settings'
$machine = 'HKLM:\Software\Microsoft\Windows\CurrentVersion\Internet Settings'
$policy = 'HKLM:\Software\Policies\Microsoft\Windows\CurrentVersion\Internet Settings'
$perUser = Get-Setting $policy 'ProxySettingsPerUser'
if ($null -ne $perUser -and $perUser -eq 0) {
    Write-Good 'the proxy is set for the machine, and no user can change it'
    $place = $machine
} else {
    Write-Note 'each user has a proxy setting of their own (ProxySettingsPerUser)'
    $place = $user
}
@if pac@
$set = [string](Get-Setting $place 'AutoConfigURL')
if ($set -eq $pac) { Write-Good ('AutoConfigURL is ' + $pac) } else { Write-Wrong ('AutoConfigURL is "' + $set + '"') }
@else@
$enabled = Get-Setting $place 'ProxyEnable'
$set = [string](Get-Setting $place 'ProxyServer')
if ($enabled -eq 1 -and $set -eq $gate) {
    Write-Good 'ProxyServer is the gate'
} else {
    Write-Wrong ('ProxyServer is "' + $set + '", ProxyEnable is "' + [string]$enabled + '"')
}
@end@

# Services: they have a setting of their own.
$winhttp = ((& netsh.exe winhttp show proxy) + (& netsh.exe winhttp show advproxy)) -join ' '
$expected = @($gate)
@if pac@
$expected += $pac
@end@
if (@($expected | Where-Object { $winhttp.Contains($_) }).Count -gt 0) {
    Write-Good 'WinHTTP, which services use, takes the gate'
} else {
    Write-Wrong 'WinHTTP, which services use, does not take the gate (netsh winhttp show proxy)'
}

foreach ($name in 'HTTP_PROXY', 'HTTPS_PROXY') {
    $value = [string][Environment]::GetEnvironmentVariable($name)
    if ($value -eq '') {
        Write-Note ($name + ' is not set: curl, git, pip and others go out by themselves')
    } elseif ($value.TrimEnd('/') -eq $url) {
        Write-Good ($name + ' is the gate')
    } else {
        Write-Wrong ($name + ' is not the gate')
    }
}

$status = Get-ProxyStatus (New-Object System.Net.WebProxy($url))
if ([string]$status -like 'sekisho*') {
    Write-Good ('the gate answers at ' + $gate)
} else {
    Write-Wrong ('nothing that is a gate answers at ' + $gate)
}
$status = Get-ProxyStatus $system
if ([string]$status -like 'sekisho*') {
    Write-Good 'a request as the system makes it goes out by the gate'
} else {
    Write-Wrong 'a request as the system makes it does not go out by the gate'
}
$wpad = $null
try { $wpad = [System.Net.Dns]::GetHostAddresses('wpad') } catch { $wpad = $null }
if ($null -eq $wpad) {
    Write-Good 'the name wpad leads nowhere'
} else {
    Write-Wrong 'the name wpad leads somewhere: who has it could be the proxy of everybody'
}
@if ca_sha1@
$found = @(Get-ChildItem -Path 'Cert:\LocalMachine\Root' | Where-Object { $_.Thumbprint -eq $caThumbprint })
if ($found.Count -gt 0) {
    Write-Good 'the authority of the gate is trusted'
} else {
    Write-Wrong ('the authority of the gate (' + $caSubject + ') is not trusted: pages that it looks into show errors')
}
@end@

if ($Outside -ne '') {
    foreach ($port in 80, 443) {
        if (Test-Reached $Outside $port) {
            Write-Wrong ($Outside + ' port ' + $port + ' is reached past the gate')
        } else {
            Write-Good ($Outside + ' port ' + $port + ' is not reached past the gate')
        }
    }
}

if ($script:wrong -gt 0) {
    Write-Output ([string]$script:wrong + ' wrong')
@if contact@
    Write-Output $contact
@end@
    exit 1
}
Write-Output 'all is as it should be'
exit 0
